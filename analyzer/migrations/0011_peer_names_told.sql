-- `peer_names` is told by the analyzer, a row a name and client of a batch instead of one a
-- connection and question: views behind the inserts made twenty times as many, and took a quarter
-- of what an insert of connections costs.
DROP VIEW IF EXISTS peer_names_of_dns_mv;

DROP VIEW IF EXISTS peer_names_of_connections_mv;

-- What endpoints exchanged with each other: a row an endpoint of each pair, in the order of the other's address.
SELECT * REPLACE (endpoint AS side)
FROM
(
{{exchanged}}
)
ARRAY JOIN [toUInt8(0), toUInt8(1)] AS endpoint
ORDER BY if(endpoint = 0, b_number, a_number)

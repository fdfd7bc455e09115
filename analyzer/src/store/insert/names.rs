//! DNS transactions, hellos and time requests as rows.

use std::net::{IpAddr, Ipv6Addr};

use clickhouse::native::builder::BlockBuilder;
use iotq_proto::{CheckedBatch, RecordType, address_octets, v1};

use super::{BoxedError, InsertError, column, ip, monday, narrow_u8, narrow_u16};
use crate::store::Store;

impl Store {
    pub(super) async fn insert_dns(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let rows = &batch.batch().dns;
        self.insert_rows("dns", batch, rows, |block| fill_dns(block, rows)).await
    }

    pub(super) async fn insert_tls_hellos(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let rows = &batch.batch().tls_hellos;
        self.insert_rows("tls_hellos", batch, rows, |block| fill_tls_hellos(block, rows)).await
    }

    pub(super) async fn insert_time_requests(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let rows = &batch.batch().time_requests;
        self.insert_rows("time_requests", batch, rows, |block| fill_time_requests(block, rows)).await
    }

    async fn insert_rows<Row>(
        &self,
        table: &'static str,
        batch: &CheckedBatch,
        rows: &[Row],
        fill: impl FnOnce(&mut BlockBuilder) -> Result<(), BoxedError>,
    ) -> Result<(), InsertError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (arrived_on, collector) = (self.arrived_on(batch), batch.id().collector.as_str());
        let mut block = BlockBuilder::new();
        let built = column(&mut block, "arrived_on", rows.iter().map(|_| monday(arrived_on)))
            .and_then(|()| column(&mut block, "collector", rows.iter().map(|_| collector)))
            .and_then(|()| fill(&mut block));
        built.map_err(|source| InsertError::Block { table, source })?;
        self.insert_block(table, batch.id(), block).await
    }
}

fn fill_dns(block: &mut BlockBuilder, dns: &[v1::DnsTransaction]) -> Result<(), BoxedError> {
    let rows = || dns.iter();
    column(block, "kind", rows().map(|row| row.kind().label()))?;
    column(block, "question_seen", rows().map(|row| u8::from(row.question_seen)))?;
    column(block, "asked_at_ns", rows().map(|row| row.asked_at_ns))?;
    column(block, "answered_at_ns", rows().map(|row| row.answered_at_ns))?;
    column(block, "client_ip", rows().map(|row| ip(&row.client_ip)))?;
    column(block, "server_ip", rows().map(|row| ip(&row.server_ip)))?;
    column(block, "client_port", rows().map(|row| narrow_u16(row.client_port)))?;
    column(block, "server_port", rows().map(|row| narrow_u16(row.server_port)))?;
    column(block, "ip_version", rows().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "protocol", rows().map(|row| narrow_u8(row.protocol)))?;
    column(block, "client_mac", rows().map(|row| row.client_mac))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "qname", rows().map(|row| row.qname.as_str()))?;
    column(block, "qtype", rows().map(|row| narrow_u16(row.qtype)))?;
    column(block, "rcode", rows().map(|row| row.rcode.map(narrow_u16)))?;
    column(block, "answer_names", rows().map(|row| each(row, |record| record.name.as_str())))?;
    column(block, "answer_types", rows().map(|row| each(row, |record| narrow_u16(record.r#type))))?;
    column(block, "answer_ttl_secs", rows().map(|row| each(row, |record| record.ttl_secs)))?;
    column(block, "answer_data", rows().map(|row| each(row, |record| record.data.as_str())))?;
    column(block, "answer_ips", rows().map(|row| row.answers.iter().filter_map(address).collect::<Vec<_>>()))
}

fn fill_tls_hellos(block: &mut BlockBuilder, hellos: &[v1::TlsHello]) -> Result<(), BoxedError> {
    let rows = || hellos.iter();
    column(block, "seen_at_ns", rows().map(|row| row.seen_at_ns))?;
    column(block, "client_ip", rows().map(|row| ip(&row.client_ip)))?;
    column(block, "server_ip", rows().map(|row| ip(&row.server_ip)))?;
    column(block, "client_port", rows().map(|row| narrow_u16(row.client_port)))?;
    column(block, "server_port", rows().map(|row| narrow_u16(row.server_port)))?;
    column(block, "ip_version", rows().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "client_mac", rows().map(|row| row.client_mac))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "transport", rows().map(|row| row.transport().label()))?;
    column(block, "version", rows().map(|row| narrow_u16(row.version)))?;
    column(block, "sni", rows().map(|row| row.sni.as_str()))?;
    column(block, "alpn", rows().map(|row| row.alpn.as_slice()))?;
    column(block, "ja4", rows().map(|row| row.ja4.as_str()))?;
    column(block, "ech", rows().map(|row| u8::from(row.ech)))
}

fn fill_time_requests(block: &mut BlockBuilder, requests: &[v1::TimeRequest]) -> Result<(), BoxedError> {
    let rows = || requests.iter();
    column(block, "requested_at_ns", rows().map(|row| row.requested_at_ns))?;
    column(block, "replied_at_ns", rows().map(|row| row.replied_at_ns))?;
    column(block, "client_ip", rows().map(|row| ip(&row.client_ip)))?;
    column(block, "server_ip", rows().map(|row| ip(&row.server_ip)))?;
    column(block, "client_port", rows().map(|row| narrow_u16(row.client_port)))?;
    column(block, "ip_version", rows().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "client_mac", rows().map(|row| row.client_mac))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "version", rows().map(|row| narrow_u8(row.version)))
}

fn each<'a, T>(row: &'a v1::DnsTransaction, pick: impl Fn(&'a v1::DnsRecord) -> T) -> Vec<T> {
    row.answers.iter().map(pick).collect()
}

/// The address in an A or AAAA record.
fn address(record: &v1::DnsRecord) -> Option<Ipv6Addr> {
    let is_address = matches!(RecordType(narrow_u16(record.r#type)), RecordType::A | RecordType::AAAA);
    let ip: IpAddr = record.data.parse().ok().filter(|_| is_address)?;
    Some(Ipv6Addr::from(address_octets(ip)))
}

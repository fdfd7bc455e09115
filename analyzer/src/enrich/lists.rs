//! temp stub
use std::net::IpAddr;
#[derive(Default)]
pub struct Lists {
    pub networks: Networks,
    pub owners: Owners,
}
#[derive(Default)]
pub struct Networks;
pub struct Network<'a> {
    pub asn: u32,
    pub as_name: &'a str,
    pub country: Option<&'a str>,
}
impl Networks {
    pub fn lookup(&self, _ip: IpAddr) -> Option<Network<'_>> {
        None
    }
}
#[derive(Default)]
pub struct Owners;
pub struct Owner<'a> {
    pub owner: &'a str,
    pub category: &'a str,
}
impl Owners {
    pub fn find(&self, _n: &str) -> Option<Owner<'_>> {
        None
    }
    pub fn of_network(&self, _n: &Network<'_>) -> Option<Owner<'_>> {
        None
    }
}
pub fn registrable_domain(_f: &str) -> Option<&str> {
    None
}

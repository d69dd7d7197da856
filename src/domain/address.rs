//! Which addresses of the network may be asked for something in a tenant's name.
//!
//! A tenant names an address, this machine connects to it: whatever it could reach from inside, its own
//! services, the neighbours', a cloud's metadata, would answer the tenant.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Networks of IPv4 that are not the public internet, and how many leading bits name each.
const PRIVATE_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    // Azure's metadata are at an address that looks public.
    ([168, 63, 129, 16], 32),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, reserved and broadcast.
    ([224, 0, 0, 0], 3),
];

/// What of the one public network of IPv6, 2000::/3, is not public after all: protocols of their own
/// (Teredo among them), documentation, and IPv4 in disguise (6to4).
const PRIVATE_V6: [(u128, u32); 4] = [
    (0x2001_0000 << 96, 23),
    (0x2001_0db8 << 96, 32),
    (0x2002_0000 << 96, 16),
    (0x3fff_0000 << 96, 20),
];

/// Whether an address is on the public internet.
///
/// Of IPv6 what is not known to be public is refused: loopback, link-local, unique local, multicast,
/// translated IPv4. IPv4 that is written as IPv6 counts as what it is.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_in = |(network, n_bits): &([u8; 4], u32)| {
        let network = u32::from(Ipv4Addr::from(*network));
        (u32::from(address) ^ network) >> (32 - n_bits) == 0
    };
    !PRIVATE_V4.iter().any(is_in)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let is_in = |(network, n_bits): &(u128, u32)| (bits ^ network) >> (128 - n_bits) == 0;
    bits >> 125 == 1 && !PRIVATE_V6.iter().any(is_in)
}

/// A host that may be asked although it is private, and without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateHost {
    host: String,
    /// None for every port.
    port: Option<u16>,
}

/// Why a text names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form host or host:port")]
pub struct PrivateHostError(String);

impl PrivateHost {
    /// Whether that is the host at that port; `host` as in an address, IPv6 in brackets.
    pub fn is(&self, host: &str, port: Option<u16>) -> bool {
        self.host == host.to_ascii_lowercase() && (self.port.is_none() || self.port == port)
    }
}

impl FromStr for PrivateHost {
    type Err = PrivateHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PrivateHostError(text.chars().take(100).collect());
        // A colon within brackets is the host's own.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| error())?))
            }
            _ => (text, None),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_v6 = || {
            let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
        };
        if host.is_empty() || !(host.chars().all(is_host) || is_v6()) {
            return Err(error());
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves F-90
    #[test]
    fn what_is_inside_is_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.7",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_beside_a_private_network_is_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:4860:4860::8888",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_private_host_is_named_with_or_without_its_port() {
        let is = |named: &str, host: &str, port| {
            let named: PrivateHost = named.parse().unwrap();
            named.is(host, Some(port))
        };
        assert!(is("127.0.0.1", "127.0.0.1", 4010));
        assert!(is("tools.internal:8443", "Tools.Internal", 8443));
        assert!(is("[::1]:80", "[::1]", 80) && is("[::1]", "[::1]", 81));
        assert!(!is("tools.internal:8443", "tools.internal", 443));
        assert!(!is("tools.internal", "evil.tools.internal", 443));
        for wrong in [
            "",
            ":80",
            "a b",
            "host:port",
            "http://host",
            "*",
            "::1",
            "[x]",
        ] {
            assert!(wrong.parse::<PrivateHost>().is_err(), "{wrong}");
        }
    }
}

//! Which addresses may be connected to at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, for a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This host's own: only where it was named as such.
    Loopback,
    /// Never: it is a metadata service, this network only, many hosts at once, or no host.
    Never,
    /// Any other.
    Open,
}

/// Says what `address` is, looking through every way to write an older address as a newer one.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let never = address.is_unspecified()
        || address.octets()[0] == 0
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_link_local()
        || METADATA_V4.contains(&address);
    match never {
        true => Reach::Never,
        false if address.is_loopback() => Reach::Loopback,
        false => Reach::Open,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address.is_loopback() {
        return Reach::Loopback;
    }
    let never = address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || METADATA_V6.contains(&address);
    if never {
        return Reach::Never;
    }
    match disguised(address) {
        // An older address in the clothes of a newer one is nobody's usual way to write it.
        Some(older) => match reach_v4(older) {
            Reach::Open => Reach::Open,
            Reach::Loopback | Reach::Never => Reach::Never,
        },
        None => Reach::Open,
    }
}

/// Returns the older address that a newer one stands for.
fn disguised(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        Ipv4Addr::new(a, b, c, d)
    };
    match [a, b, c, d, e, f] {
        // Mapped, compatible, and translated addresses.
        [0, 0, 0, 0, 0, 0xffff | 0] | [0, 0, 0, 0, 0xffff, 0] => Some(of(g, h)),
        [0x64, 0xff9b, 0 | 1, ..] => Some(of(g, h)),
        // Tunnels.
        [0x2002, high, low, ..] => Some(of(high, low)),
        [0x2001, 0, ..] => Some(of(!g, !h)),
        _ => None,
    }
}

/// What clouds answer with credentials at, besides link-local addresses.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// The same for the newer protocol.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_seen_through_every_disguise() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
            "::ffff:127.0.0.1",
        ] {
            assert_eq!(reach(text.parse().unwrap()), Reach::Never, "{text}");
        }
        for text in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(reach(text.parse().unwrap()), Reach::Loopback, "{text}");
        }
        for text in ["10.0.0.1", "192.168.1.1", "1.1.1.1", "2606:4700::1111", "fd00::1"] {
            assert_eq!(reach(text.parse().unwrap()), Reach::Open, "{text}");
        }
    }
}

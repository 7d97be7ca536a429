//! Which addresses are called. Pure: the addresses are given, nothing is looked up.
//!
//! Special are all addresses of IANA's registries of special purposes
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>), multicast, and all of IPv6 that
//! is not yet given out. The few that the registries call globally reachable are special as well:
//! no portal is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

/// The special networks of IPv4.
const V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, "of this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a carrier"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // Azure's; AWS's is link-local.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "of a protocol"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "of a protocol"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "of a protocol"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay to IPv6"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "of a protocol"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The special networks of IPv6. Those outside of [`GLOBAL`] would be refused without standing
/// here; they are named so that the refusal says why.
const V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "of this network"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
        48,
        "a local translation to IPv4",
    ),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 32, "discarded"),
    // Teredo, benchmarks, ORCHID and more.
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "of a protocol",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "for documentation",
    ),
    (
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        "a tunnel to IPv4",
    ),
    (
        Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0),
        48,
        "of a protocol",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "for documentation",
    ),
    (
        Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0),
        16,
        "for segment routing",
    ),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "private"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// All of IPv6 that is given out to anyone: what is outside is special.
const GLOBAL: Network = Network {
    address: IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)),
    prefix: 3,
};

/// IPv4 as a NAT64 translates it (RFC 6052): the last four bytes are the address that is called.
const NAT64: Network = Network {
    address: IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)),
    prefix: 96,
};

/// Why nothing was called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is not one of the open Internet, nor allowed.
    #[error("{address} is {kind}")]
    Special {
        /// The address, as it would be connected to.
        address: IpAddr,
        /// What is special about it.
        kind: &'static str,
    },
    /// Neither http nor https.
    #[error("the URL is not one of http or https")]
    Scheme,
    /// The URL holds a name or password.
    #[error("the URL holds a user")]
    User,
    /// No URL can be made with it.
    #[error("the portal's domain is not a host name")]
    Domain,
}

/// The special addresses that are called all the same: none in production, the sample portal's in
/// the local stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Network>);

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many bits are alike.
    prefix: u8,
}

/// The text names no networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `none`, or networks such as 127.0.0.1,10.20.0.0/16")]
pub struct InvalidNetworks;

impl Allowed {
    /// Whether `address` may be called, and as which it is judged and called: of an IPv4 address in
    /// IPv6 clothes, the one inside. Refused is a special one ([`Refusal::Special`]) that is in no
    /// network of these.
    pub fn judge(&self, address: IpAddr) -> Result<IpAddr, Refusal> {
        let address = address.to_canonical();
        match special(address) {
            Some(kind) if !self.0.iter().any(|network| network.holds(address)) => {
                Err(Refusal::Special { address, kind })
            }
            _ => Ok(address),
        }
    }

    /// Judges what a name leads to: refused as a whole if any of it is, since a name that leads
    /// both outside and inside has no honest use, and whoever answers for it would choose by what
    /// fails where we end up.
    pub fn judge_all(
        &self,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Vec<IpAddr>, Refusal> {
        let judged = addresses.into_iter().map(|address| self.judge(address));
        judged.collect()
    }

    /// Judges what can be judged of a URL before any look-up. An address in it needs none, so this
    /// is the only check that it meets.
    ///
    /// # Errors
    /// A scheme but http and https, a user or password in it, no host, or the address of a host
    /// that [`judge`](Self::judge) refuses. A name is good so far.
    pub fn judge_url(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::User);
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge(address.into()).map(drop),
            Some(Host::Ipv6(address)) => self.judge(address.into()).map(drop),
            Some(Host::Domain(_)) => Ok(()),
            None => Err(Refusal::Domain),
        }
    }
}

impl FromStr for Allowed {
    type Err = InvalidNetworks;

    /// Reads `none`, or addresses and networks separated by commas.
    fn from_str(text: &str) -> Result<Self, InvalidNetworks> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let networks = text.split(',').map(|text| text.trim().parse());
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }
}

impl FromStr for Network {
    type Err = InvalidNetworks;

    fn from_str(text: &str) -> Result<Self, InvalidNetworks> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetworks)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| InvalidNetworks)?,
            None => width,
        };
        let network = Self { address, prefix };
        // The rest of the address is all zero, or a digit is wrong; and IPv4 is written as such,
        // since that is what is judged.
        let rest = network.masked(address) != Some(bits(address));
        if prefix > width || rest || address != address.to_canonical() {
            return Err(InvalidNetworks);
        }
        Ok(network)
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        self.masked(address)
            .is_some_and(|begin| Some(begin) == self.masked(self.address))
    }

    /// `address` with zeros after the prefix, if it is of this network's kind.
    fn masked(self, address: IpAddr) -> Option<u128> {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        let rest = u32::from(width - self.prefix.min(width));
        let kind = address.is_ipv4() == self.address.is_ipv4();
        // A shift by all 128 bits would overflow.
        kind.then(|| bits(address) & u128::MAX.checked_shl(rest).unwrap_or(0))
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// What is special about `address`; nothing, if it is one of the open Internet.
fn special(address: IpAddr) -> Option<&'static str> {
    fn among<A: Copy + Into<IpAddr>>(
        table: &[(A, u8, &'static str)],
        address: IpAddr,
    ) -> Option<&'static str> {
        let mut rows = table.iter();
        let row = rows.find(|(network, prefix, _)| {
            let (address_of, prefix) = ((*network).into(), *prefix);
            let network = Network {
                address: address_of,
                prefix,
            };
            network.holds(address)
        });
        row.map(|(_, _, kind)| *kind)
    }
    match address.to_canonical() {
        inner @ IpAddr::V4(_) => among(V4, inner),
        IpAddr::V6(outer) if NAT64.holds(outer.into()) => {
            let [.., a, b, c, d] = outer.octets();
            among(V4, Ipv4Addr::new(a, b, c, d).into())
        }
        outer => among(V6, outer).or((!GLOBAL.holds(outer)).then_some("not given out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, expect: Option<&str>) {
        assert_eq!(special(address.parse().unwrap()), expect, "{address}");
    }

    #[test]
    fn the_open_internet_is_called() {
        for open in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.31.195.255",
            "192.31.197.0",
            "192.52.192.255",
            "192.52.194.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "192.175.47.255",
            "192.175.49.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700:4700::1111",
            "2620:4f:7fff::",
            "2620:4f:8001::",
            "2a00:1450:4001::1",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            check(open, None);
        }
    }

    #[test]
    fn special_addresses_are_not() {
        for (first, last, kind) in [
            ("0.0.0.0", "0.255.255.255", "of this network"),
            ("10.0.0.0", "10.255.255.255", "private"),
            ("100.64.0.0", "100.127.255.255", "shared by a carrier"),
            ("127.0.0.0", "127.255.255.255", "loopback"),
            ("168.63.129.16", "168.63.129.16", "a cloud's metadata"),
            ("169.254.0.0", "169.254.255.255", "link-local"),
            ("169.254.169.254", "169.254.169.254", "link-local"),
            ("172.16.0.0", "172.31.255.255", "private"),
            ("192.0.0.0", "192.0.0.255", "of a protocol"),
            ("192.0.2.0", "192.0.2.255", "for documentation"),
            ("192.31.196.0", "192.31.196.255", "of a protocol"),
            ("192.52.193.0", "192.52.193.255", "of a protocol"),
            ("192.88.99.0", "192.88.99.255", "a relay to IPv6"),
            ("192.168.0.0", "192.168.255.255", "private"),
            ("192.175.48.0", "192.175.48.255", "of a protocol"),
            ("198.18.0.0", "198.19.255.255", "for benchmarks"),
            ("198.51.100.0", "198.51.100.255", "for documentation"),
            ("203.0.113.0", "203.0.113.255", "for documentation"),
            ("224.0.0.0", "239.255.255.255", "multicast"),
            ("240.0.0.0", "255.255.255.255", "reserved"),
            ("::", "::", "of this network"),
            ("::1", "::1", "loopback"),
            // IPv4-compatible, and translated without a prefix: neither is in use.
            ("::2", "::ffff", "not given out"),
            ("::7f00:1", "::a00:1", "not given out"),
            ("::ffff:0:7f00:1", "::ffff:0:a00:1", "not given out"),
            ("::ffff:0.0.0.0", "::ffff:0.0.0.1", "of this network"),
            ("::ffff:10.0.0.1", "::ffff:a00:1", "private"),
            ("::ffff:127.0.0.1", "::ffff:7f00:1", "loopback"),
            ("::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "link-local"),
            ("64:ff9b::10.0.0.1", "64:ff9b::a00:1", "private"),
            ("64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "link-local"),
            ("64:ff9b::1:8.8.8.8", "64:ff9b:0:1::", "not given out"),
            (
                "64:ff9b:1::",
                "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                "a local translation to IPv4",
            ),
            ("100::", "100::ffff:ffff:ffff:ffff", "discarded"),
            ("100:0:0:1::", "100:0:0:1:ffff::", "discarded"),
            ("1fff:ffff::", "200::", "not given out"),
            // Teredo, to 10.0.0.1 among others.
            ("2001::", "2001:0:ffff:ffff::f5ff:fffe", "of a protocol"),
            ("2001:2::", "2001:1ff:ffff::", "of a protocol"),
            (
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                "for documentation",
            ),
            ("2002::", "2002:a00:1::1", "a tunnel to IPv4"),
            ("2002:ffff::", "2002:808:808::1", "a tunnel to IPv4"),
            ("2620:4f:8000::", "2620:4f:8000:ffff::", "of a protocol"),
            ("3fff::", "3fff:fff:ffff::", "for documentation"),
            ("4000::", "5eff::", "not given out"),
            ("5f00::", "5f00:ffff::", "for segment routing"),
            ("6000::", "fbff::", "not given out"),
            ("fc00::", "fdff:ffff::", "private"),
            ("fd00:ec2::254", "fd00:ec2::254", "private"),
            ("fe00::", "fe7f:ffff::", "not given out"),
            ("fe80::", "febf:ffff::", "link-local"),
            ("fec0::", "feff:ffff::", "private"),
            ("ff00::", "ff02::1", "multicast"),
        ] {
            check(first, Some(kind));
            check(last, Some(kind));
        }
    }

    #[test]
    fn what_is_allowed_is_called_and_nothing_beside_it() {
        let allowed: Allowed = "127.0.0.1, 10.20.0.0/16,::1,fd00::/8".parse().unwrap();
        for (address, as_which) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("::ffff:127.0.0.1", Some("127.0.0.1")),
            ("127.0.0.2", None),
            ("10.20.255.255", Some("10.20.255.255")),
            ("10.21.0.0", None),
            ("::1", Some("::1")),
            ("::2", None),
            ("fd12::1", Some("fd12::1")),
            ("fc12::1", None),
            ("169.254.169.254", None),
            ("64:ff9b::127.0.0.1", None),
            ("8.8.8.8", Some("8.8.8.8")),
            ("::ffff:8.8.8.8", Some("8.8.8.8")),
        ] {
            let judged = allowed.judge(address.parse().unwrap()).ok();
            assert_eq!(
                judged,
                as_which.map(|text| text.parse().unwrap()),
                "{address}"
            );
        }
        let all: Allowed = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(all.judge("10.0.0.1".parse().unwrap()).is_ok());
        assert!(all.judge("::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn networks_are_read_or_refused() {
        assert_eq!("none".parse(), Ok(Allowed::default()));
        for wrong in [
            "",
            "true",
            "localhost",
            "127.0.0.1,",
            "127.0.0.1/33",
            "::1/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.20.0.1/16",
            "10.20/16",
            "::ffff:127.0.0.1",
            "none,127.0.0.1",
        ] {
            assert_eq!(wrong.parse::<Allowed>(), Err(InvalidNetworks), "{wrong:?}");
        }
    }

    #[test]
    fn one_special_address_spoils_the_name() {
        let allowed = Allowed::default();
        let judge = |texts: &[&str]| {
            allowed.judge_all(texts.iter().map(|text| text.parse::<IpAddr>().unwrap()))
        };
        assert_eq!(judge(&["8.8.8.8", "2606:4700::1"]).unwrap().len(), 2);
        for mixed in [["8.8.8.8", "10.0.0.1"], ["::1", "8.8.8.8"]] {
            assert!(judge(&mixed).is_err(), "{mixed:?}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_judged_however_it_is_spelled() {
        let allowed = Allowed::default();
        let special = |address: &str, kind| {
            Err(Refusal::Special {
                address: address.parse().unwrap(),
                kind,
            })
        };
        for (url, expect) in [
            ("https://portal.uu.example:8000/", Ok(())),
            ("https://8.8.8.8/", Ok(())),
            ("https://[::ffff:8.8.8.8]/", Ok(())),
            ("http://127.0.0.1:8000/", special("127.0.0.1", "loopback")),
            ("http://127.0.0.1.:8000/", special("127.0.0.1", "loopback")),
            ("http://127.1/", special("127.0.0.1", "loopback")),
            ("http://0x7f.1/", special("127.0.0.1", "loopback")),
            ("http://0x7f.0x1/", special("127.0.0.1", "loopback")),
            ("http://0177.0.0.01/", special("127.0.0.1", "loopback")),
            ("http://2130706433/", special("127.0.0.1", "loopback")),
            ("http://0x7f000001/", special("127.0.0.1", "loopback")),
            ("http://%31%32%37.0.0.1/", special("127.0.0.1", "loopback")),
            (
                "http://１２７。０。０。１/",
                special("127.0.0.1", "loopback"),
            ),
            ("http://0/", special("0.0.0.0", "of this network")),
            (
                "http://2852039166/",
                special("169.254.169.254", "link-local"),
            ),
            ("http://[::1]:8000/", special("::1", "loopback")),
            ("http://[0:0:0:0:0:0:0:1]/", special("::1", "loopback")),
            ("http://[::ffff:10.0.0.1]/", special("10.0.0.1", "private")),
            ("http://[::ffff:a00:1]/", special("10.0.0.1", "private")),
            ("http://[fe80::1]/", special("fe80::1", "link-local")),
            ("http:10.0.0.1/", special("10.0.0.1", "private")),
            ("http://8.8.8.8@portal.uu.example/", Err(Refusal::User)),
            ("http://:x@portal.uu.example/", Err(Refusal::User)),
            ("ftp://portal.uu.example/", Err(Refusal::Scheme)),
            ("file:///etc/passwd", Err(Refusal::Scheme)),
            ("gopher://10.0.0.1/", Err(Refusal::Scheme)),
            ("data:text/plain,x", Err(Refusal::Scheme)),
        ] {
            assert_eq!(allowed.judge_url(&url.parse().unwrap()), expect, "{url}");
        }
    }
}

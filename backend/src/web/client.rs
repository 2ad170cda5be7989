//! The address that a request comes from: the peer's, or what a proxy before this service says.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::HttpRequest;

use crate::config::{Network, holds};

/// The client's address. `X-Forwarded-For` grows to the right, and everybody can send a beginning of it: read from the right, the first
/// address that is none of our proxies' is the client's. Of anybody but our proxies the header is not read at all.
pub(super) fn address(request: &HttpRequest, proxies: &[Network]) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
    let lines = request.headers().get_all("x-forwarded-for");
    let words: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    behind(peer, &words.join(","), proxies)
}

fn behind(peer: IpAddr, forwarded: &str, proxies: &[Network]) -> IpAddr {
    let mut last = peer.to_canonical();
    for word in forwarded.rsplit(',') {
        if !holds(proxies, last) {
            break;
        }
        match word.trim().parse::<IpAddr>() {
            Ok(address) => last = address.to_canonical(),
            // Not written by a proxy of ours: what stands before it is anybody's.
            Err(_) => break,
        }
    }
    last
}

/// Who shares a limit: an IPv4 address, or the network that one customer has of IPv6.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, forwarded: &str) -> String {
        let proxies = ["127.0.0.1", "10.0.0.0/8"].map(|text| {
            let network = text
                .parse()
                .or_else(|_| text.parse::<IpAddr>().map(Into::into));
            Network(network.unwrap())
        });
        behind(peer.parse().unwrap(), forwarded, &proxies).to_string()
    }

    #[test]
    fn only_our_proxies_speak_for_others() {
        assert_eq!(of("127.0.0.1", ""), "127.0.0.1");
        assert_eq!(of("127.0.0.1", "8.8.8.8"), "8.8.8.8");
        assert_eq!(of("::ffff:127.0.0.1", "8.8.8.8, 10.1.1.1"), "8.8.8.8");
        // What the client itself has written before it is not believed.
        assert_eq!(of("127.0.0.1", "1.1.1.1, 8.8.8.8"), "8.8.8.8");
        assert_eq!(of("9.9.9.9", "8.8.8.8"), "9.9.9.9");
        assert_eq!(of("127.0.0.1", "8.8.8.8, nonsense"), "127.0.0.1");
        assert_eq!(of("127.0.0.1", "10.0.0.1, 10.0.0.2"), "10.0.0.1");
    }

    #[test]
    fn a_network_of_ipv6_is_one_household() {
        let one = household("2a00:1450:1:2:3:4:5:6".parse().unwrap());
        assert_eq!(one.to_string(), "2a00:1450:1:2::");
        assert_eq!(household("8.8.8.8".parse().unwrap()).to_string(), "8.8.8.8");
    }
}

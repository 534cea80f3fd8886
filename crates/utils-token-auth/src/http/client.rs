use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    str::FromStr,
    sync::Arc,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};
use futures_util::future::{Ready, ready};

use super::Options;
use crate::session::Client;

/// Whom to believe about the address of a client: `X-Forwarded-For` is written by whoever sends the request, so only
/// what a known proxy added to it counts.
///
/// ```
/// use utils_token_auth::Proxies;
///
/// let proxies = Proxies::networks(["10.0.0.0/8", "fd00::/8"])?;
/// # Ok::<(), utils_token_auth::ParseNetworkError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Proxies(Trust);

#[derive(Clone, Debug, Default)]
enum Trust {
    #[default]
    None,
    Networks(Arc<[Network]>),
    Hops(usize),
}

impl Proxies {
    /// Nobody: the client is whoever opened the connection. The default.
    #[must_use]
    pub fn none() -> Self {
        Self(Trust::None)
    }

    /// Proxies in these networks, such as `10.0.0.0/8`, or with these addresses: the client is the last address in
    /// `X-Forwarded-For` that is not one of them, provided that the connection itself came from one.
    ///
    /// # Errors
    /// [`ParseNetworkError`] names the text that is no network.
    pub fn networks<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, ParseNetworkError> {
        let networks: Result<Vec<Network>, _> =
            networks.into_iter().map(|network| network.as_ref().parse()).collect();
        Ok(Self(Trust::Networks(networks?.into())))
    }

    /// As many proxies as this, one behind the other, whatever their addresses: the client is that many addresses
    /// from the end of `X-Forwarded-For`. Only when nobody can reach the server but through them, as on a Unix socket
    /// or in a private network.
    #[must_use]
    pub fn hops(proxies: usize) -> Self {
        Self(Trust::Hops(proxies))
    }
}

/// The text is neither an address nor a network like `10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct ParseNetworkError(String);

/// The device that sent a request: its address, its `User-Agent`, and the name it gives itself in `X-Device-Label`.
///
/// The address is that of the connection, unless [`HttpAuth::proxies`](crate::HttpAuth::proxies) says otherwise.
/// Extracting it never fails.
impl FromRequest for Client {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(match request.app_data::<Rc<Options>>() {
            Some(options) => of(request, &options.proxies),
            None => of(request, &Proxies::none()),
        }))
    }
}

pub(crate) fn of(request: &HttpRequest, proxies: &Proxies) -> Client {
    let text = |name: &str| {
        request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut client = Client::unknown();
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    client.ip = address(proxies, peer, || forwarded_for(request));
    client.user_agent = text(header::USER_AGENT.as_str());
    client.label = text("x-device-label");
    client
}

fn address(
    proxies: &Proxies,
    peer: Option<IpAddr>,
    forwarded: impl Fn() -> Vec<Option<IpAddr>>,
) -> Option<IpAddr> {
    match &proxies.0 {
        Trust::None | Trust::Hops(0) => peer,
        Trust::Hops(hops) => {
            let forwarded = forwarded();
            // fewer than there are proxies: somebody came in by another way; a text that is no address is no reason
            // either to know none, which would let a login past the limits for addresses
            forwarded.len().checked_sub(*hops).and_then(|index| forwarded[index]).or(peer)
        }
        Trust::Networks(networks) => {
            let is_proxy = |address: &IpAddr| networks.iter().any(|network| network.contains(*address));
            let mut client = peer?;
            for hop in forwarded().into_iter().rev() {
                if !is_proxy(&client) {
                    break;
                }
                // what a proxy of ours could not tell either
                let Some(hop) = hop else { break };
                client = hop;
            }
            Some(client)
        }
    }
}

/// The addresses of `X-Forwarded-For`, the nearest last; `None` for what is no address.
fn forwarded_for(request: &HttpRequest) -> Vec<Option<IpAddr>> {
    request
        .headers()
        .get_all(header::X_FORWARDED_FOR)
        // hop by hop: what a client wrote must not make what a proxy added behind it unreadable
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b',').map(hop))
        .collect()
}

fn hop(bytes: &[u8]) -> Option<IpAddr> {
    parse(str::from_utf8(bytes).ok()?.trim())
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[derive(Clone, Copy, Debug)]
struct Network {
    first: u128,
    bits: u32,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        self.bits == 0 || (number(address) ^ self.first) >> (128 - self.bits) == 0
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let refused = || ParseNetworkError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| refused())?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| refused())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(refused());
        }
        Ok(Self { first: number(address), bits: bits + (128 - width) })
    }
}

/// An address as a number; IPv4 where IPv6 has it.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{http::header::HeaderValue, test::TestRequest};

    use super::*;

    fn check(proxies: &Proxies, peer: &str, forwarded: &str, expected: &str) {
        let hops =
            || forwarded.split(',').filter(|hop| !hop.is_empty()).map(|hop| parse(hop.trim())).collect();
        let found = address(proxies, peer.parse().ok(), hops);
        assert_eq!(
            found.map(|ip| ip.to_string()).unwrap_or_default(),
            expected,
            "{proxies:?} {peer} {forwarded}"
        );
    }

    #[test]
    fn without_proxies_the_header_is_not_believed() {
        check(&Proxies::none(), "192.0.2.1", "203.0.113.9", "192.0.2.1");
        check(&Proxies::none(), "", "203.0.113.9", "");
    }

    #[test]
    fn behind_known_proxies_the_last_unknown_address_is_the_client() {
        let proxies = Proxies::networks(["10.0.0.0/8", "fd00::/8", "198.51.100.7"]).unwrap();
        check(&proxies, "10.1.2.3", "203.0.113.9", "203.0.113.9");
        check(&proxies, "10.1.2.3", "6.6.6.6, 203.0.113.9, 198.51.100.7", "203.0.113.9");
        check(&proxies, "fd00::1", "203.0.113.9:4711", "203.0.113.9");
        check(&proxies, "fd00::1", "[2001:db8::1]:4711", "2001:db8::1");
        check(&proxies, "fd00::1", "[2001:db8::1]", "2001:db8::1");
        check(&proxies, "192.0.2.1", "203.0.113.9", "192.0.2.1"); // not through a proxy of ours
        check(&proxies, "10.1.2.3", "203.0.113.9, unknown", "10.1.2.3");
        check(&proxies, "10.1.2.3", "", "10.1.2.3");
        check(&proxies, "10.1.2.3", "10.9.9.9", "10.9.9.9"); // a client inside our own network
        check(&proxies, "198.51.100.8", "203.0.113.9", "198.51.100.8");
    }

    #[test]
    fn behind_so_many_proxies_the_client_is_so_far_from_the_end() {
        check(&Proxies::hops(1), "", "6.6.6.6, 203.0.113.9", "203.0.113.9");
        check(&Proxies::hops(2), "127.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9");
        check(&Proxies::hops(2), "127.0.0.1", "203.0.113.9", "127.0.0.1");
        check(&Proxies::hops(0), "127.0.0.1", "203.0.113.9", "127.0.0.1");
        check(&Proxies::hops(2), "127.0.0.1", "unknown, 203.0.113.9", "127.0.0.1");
    }

    #[test]
    fn a_hop_that_is_not_text_does_not_hide_the_hops_behind_it() {
        let proxies = [Proxies::hops(1), Proxies::networks(["10.0.0.0/8"]).unwrap()];
        for line in [&b"\xff, 203.0.113.9"[..], b"\xc3\xa9,203.0.113.9", b"6.6.6.6, \x80 ,\t203.0.113.9"] {
            let request = TestRequest::default()
                .peer_addr(SocketAddr::from(([10, 1, 2, 3], 4711)))
                .insert_header((header::X_FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap()))
                .to_http_request();
            for proxies in &proxies {
                let found = of(&request, proxies).ip.map(|ip| ip.to_string());
                assert_eq!(found.as_deref(), Some("203.0.113.9"), "{proxies:?} {line:?}");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_network_is_named() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "example.com", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(Proxies::networks([text]).unwrap_err(), ParseNetworkError(text.to_owned()));
        }
        let all = Proxies::networks(["::/0"]).unwrap();
        check(&all, "192.0.2.1", "203.0.113.9", "203.0.113.9");
    }
}

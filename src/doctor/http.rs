//! The address for metrics and health: free, or a keywatch answers there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use super::{Check, Finding};
use crate::client::{Answer, get};

/// Tries the address, and asks who is there where it is taken.
pub(super) async fn examine(address: SocketAddr) -> Finding {
    let (check, at) = (Check::Http, format!("http {address}"));
    let taken = match TcpListener::bind(address).await {
        Ok(_) => return Finding::ok(check, at, "free"),
        Err(error) => error,
    };
    if taken.kind() != std::io::ErrorKind::AddrInUse {
        return Finding::fail(check, at, taken.to_string(), "set http.listen to an address of this machine");
    }
    let answer = match reachable(address).to_string().parse() {
        Ok(place) => get(&place, "/readyz").await.ok(),
        Err(_) => None,
    };
    match answer.as_ref().and_then(ready) {
        Some((true, _)) => Finding::ok(check, at, "a keywatch answers there: ready"),
        Some((false, why)) => {
            let found = format!("a keywatch answers there, and is not ready: {why}");
            Finding::warn(check, at, found, "catching up may take a while; else its log says what it waits for")
        }
        None => Finding::fail(check, at, "another program listens there", "set http.listen to another port"),
    }
}

/// An address to connect to: one that stands for all is not.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether it is ready, and why not; `None` where no keywatch answers so.
fn ready(answer: &Answer) -> Option<(bool, String)> {
    let body = answer.body.trim();
    let reasons: Vec<&str> = body.lines().map(str::trim).collect();
    let is_ours = |line: &&str| {
        line.starts_with("facts ")
            || line.starts_with("not caught up")
            || ["store: ", "source: ", "facts: "].iter().any(|part| line.starts_with(part))
    };
    match answer.status {
        200 if body == "ready" => Some((true, String::new())),
        503 if reasons.iter().any(is_ours) => {
            let text: String = reasons.join(", ").chars().filter(|c| !c.is_control()).take(300).collect();
            Some((false, text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keywatch_is_known_by_its_answer() {
        for (status, body, expected) in [
            (200, "ready\n", Some((true, ""))),
            (
                503,
                "store: away\nnot caught up with the events yet\n",
                Some((false, "store: away, not caught up with the events yet")),
            ),
            (200, "<html>", None),
            (503, "busy", None),
            (404, "", None),
        ] {
            let answer = Answer { status, body: body.into() };
            assert_eq!(ready(&answer), expected.map(|(ok, why)| (ok, why.to_owned())), "{body}");
        }
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
    }
}

//! The address for metrics and health: free, or a keywatch answers there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Check, Finding};

/// How long who listens there may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 16 << 10;

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
    let answer = tokio::time::timeout(PATIENCE, ask_ready(reachable(address))).await;
    match answer.ok().and_then(Result::ok).as_deref().and_then(ready) {
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

async fn ask_ready(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether it is ready, and why not; `None` where no keywatch answers so.
fn ready(answer: &str) -> Option<(bool, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    let body = body.trim();
    let reasons: Vec<&str> = body.lines().map(str::trim).collect();
    let is_ours = |line: &&str| {
        line.starts_with("facts ")
            || line.starts_with("not caught up")
            || ["store: ", "source: ", "facts: "].iter().any(|part| line.starts_with(part))
    };
    match status {
        "200" if body == "ready" => Some((true, String::new())),
        "503" if reasons.iter().any(is_ours) => {
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
        for (answer, expected) in [
            ("HTTP/1.0 200 OK\r\na: b\r\n\r\nready\n", Some((true, ""))),
            (
                "HTTP/1.0 503 No\r\n\r\nstore: away\nnot caught up with the events yet\n",
                Some((false, "store: away, not caught up with the events yet")),
            ),
            ("HTTP/1.0 200 OK\r\n\r\n<html>", None),
            ("HTTP/1.0 503 No\r\n\r\nbusy", None),
            ("SSH-2.0", None),
            ("", None),
        ] {
            assert_eq!(ready(answer), expected.map(|(ok, why)| (ok, why.to_owned())), "{answer}");
        }
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
    }
}

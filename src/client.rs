//! Asks a keywatch over HTTP. One GET without TLS is all that is needed, so no client library is.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the whole answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 1 << 20;

/// Where a keywatch answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    authority: String,
    prefix: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The text.
    pub body: String,
}

impl std::str::FromStr for Place {
    type Err = String;

    /// Reads `http://HOST:PORT` or `HOST:PORT`, with a path before ours where a proxy wants one.
    fn from_str(url: &str) -> Result<Place, String> {
        if url.starts_with("https://") {
            return Err("keywatch itself speaks http, without TLS: give http://HOST:PORT".into());
        }
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let port = authority.rsplit_once(':').map(|(host, port)| (host.is_empty(), port.parse::<u16>()));
        let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#'));
        if !matches!(port, Some((false, Ok(_)))) || !is_plain(rest) {
            return Err("expected http://HOST:PORT, such as http://127.0.0.1:9464 (http.listen)".into());
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Ok(Place { authority: authority.into(), prefix })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// Asks for a path.
pub async fn get(place: &Place, path: &str) -> std::io::Result<Answer> {
    let asking = async {
        let mut stream = TcpStream::connect(&place.authority).await?;
        let asked = format!("GET {}{path} HTTP/1.0\r\nhost: {}\r\n\r\n", place.prefix, place.authority);
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        read(&String::from_utf8_lossy(&answer)).ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()))))
}

fn read(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (url, expected) in [
            ("http://127.0.0.1:9464", Ok("http://127.0.0.1:9464")),
            ("keywatch-1:9464/", Ok("http://keywatch-1:9464")),
            ("http://[::1]:9464/kw/", Ok("http://[::1]:9464/kw")),
            ("https://keywatch:443", Err("without TLS")),
            ("http://keywatch", Err("expected http://HOST:PORT")),
            ("http://:80", Err("expected")),
            ("http://me:secret@keywatch:80", Err("expected")),
            ("http://a b:80", Err("expected")),
            ("", Err("expected")),
        ] {
            match (url.parse::<Place>(), expected) {
                (Ok(place), Ok(want)) => assert_eq!(place.to_string(), want),
                (Err(error), Err(want)) => assert!(error.contains(want) && !error.contains("secret"), "{url}: {error}"),
                (got, want) => panic!("{url}: {got:?}, expected {want:?}"),
            }
        }
    }

    #[test]
    fn answers_are_read() {
        let answer = |status, body: &str| Some(Answer { status, body: body.into() });
        assert_eq!(read("HTTP/1.0 200 OK\r\na: b\r\n\r\nready\n"), answer(200, "ready\n"));
        assert_eq!(read("HTTP/1.1 503 No\r\n\r\n"), answer(503, ""));
        for text in ["SSH-2.0\r\n\r\n", "HTTP/1.0 two\r\n\r\n", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

//! Makes a picture of a terminal's output, for the README:
//!
//!     CLICOLOR_FORCE=1 COLUMNS=80 cargo run --release -- demo |
//!       cargo run --release --example picture -- playing mails >docs/images/demo.svg
//!
//! Reads text with the few escapes that `keywatch` writes from standard input, writes an SVG to standard output. Of the
//! lines it takes those from the first that has the first argument to the last before one that has the second.

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::fmt::Write as _;
use std::io::Read as _;

const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 19.0;
const MARGIN: f64 = 20.0;
const BAR: f64 = 26.0;

fn main() {
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        return println!("<!-- cannot read standard input: {error} -->");
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    print!("{}", picture(part(&text, &arguments)));
}

/// The lines between two words.
fn part<'a>(text: &'a str, between: &[String]) -> &'a str {
    let line_of =
        |word: &String, text: &str| Some(text[..text.find(word.as_str())?].rfind('\n').map_or(0, |at| at + 1));
    let from = between.first().and_then(|word| line_of(word, text)).unwrap_or(0);
    let text = &text[from..];
    &text[..between.get(1).and_then(|word| line_of(word, text)).unwrap_or(text.len())]
}

fn picture(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().map(|line| line.rsplit('\r').next().unwrap_or_default()).collect();
    let columns = lines.iter().map(|line| plain_len(line)).max().unwrap_or(0).max(80);
    let (width, height) = (columns as f64 * WIDTH + 2.0 * MARGIN, lines.len() as f64 * HEIGHT + 2.0 * MARGIN + BAR);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="Output of keywatch demo in a terminal">
<rect width="100%" height="100%" rx="8" fill="#1b1f24"/>
<circle cx="22" cy="19" r="6" fill="#e0645c"/><circle cx="42" cy="19" r="6" fill="#d9a343"/><circle cx="62" cy="19" r="6" fill="#62b267"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="#d5dae0" xml:space="preserve">
"##
    );
    for (n, line) in lines.iter().enumerate() {
        let y = MARGIN + BAR + (n as f64 + 0.7) * HEIGHT;
        let mut column = 0;
        for (style, part) in parts(line) {
            let x = MARGIN + column as f64 * WIDTH;
            let length = part.chars().count() as f64 * WIDTH;
            column += part.chars().count();
            if !part.trim().is_empty() {
                let part = part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" textLength="{length:.1}"{style}>{part}</text>"#);
            }
        }
    }
    svg + "</g>\n</svg>\n"
}

/// The text between escapes, each with its style.
fn parts(line: &str) -> Vec<(&'static str, &str)> {
    let mut parts = Vec::new();
    let mut style = "";
    for (n, part) in line.split("\x1b[").enumerate() {
        let part = match part.split_once('m') {
            Some((code, rest)) if n > 0 => {
                style = match code {
                    "1" => r##" font-weight="bold" fill="#ffffff""##,
                    "2" => r##" fill="#8d97a3""##,
                    "31" => r##" fill="#ff8a80""##,
                    "32" => r##" fill="#7fd88b""##,
                    "33" => r##" fill="#f2c55c""##,
                    _ => "",
                };
                rest
            }
            _ => part,
        };
        parts.push((style, part));
    }
    parts
}

fn plain_len(line: &str) -> usize {
    parts(line).iter().map(|(_, part)| part.chars().count()).sum()
}

//! A message as blocks, written once and shown twice: as plain text and as HTML. Both say the same.

use super::clean::escape;

/// One block. Everything in it is already [cleaned](super::clean); escaping happens here and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The first sentence: what happened and whether to act. Mail programs show it in the list of messages.
    Lead(String),
    /// A heading inside the message.
    Heading(String),
    /// Running text.
    Para(String),
    /// Numbered steps.
    Steps(Vec<String>),
    /// A list.
    Bullets(Vec<String>),
    /// Names and values.
    Facts(Vec<(String, String)>),
    /// Commands to paste, one a line.
    Commands(Vec<String>),
    /// Another message, as it was sent.
    Quote(Vec<Block>),
}

/// Columns that running text is wrapped at.
const WIDTH: usize = 72;

/// The plain text part.
pub fn text(blocks: &[Block]) -> String {
    let mut out = String::new();
    write_text(blocks, WIDTH, &mut out);
    out
}

fn write_text(blocks: &[Block], width: usize, out: &mut String) {
    for (i, block) in blocks.iter().enumerate() {
        let after_heading = i > 0 && matches!(blocks[i - 1], Block::Heading(_));
        if i > 0 && !after_heading {
            out.push('\n');
        }
        match block {
            Block::Lead(text) | Block::Para(text) => wrap(text, width, "", "", out),
            Block::Heading(text) => {
                out.push_str(text);
                out.push('\n');
                out.extend(std::iter::repeat_n('-', text.chars().count().min(width)));
                out.push('\n');
            }
            Block::Steps(steps) => {
                for (n, step) in steps.iter().enumerate() {
                    wrap(step, width, &format!("{}. ", n + 1), "   ", out);
                }
            }
            Block::Bullets(items) => items.iter().for_each(|item| wrap(item, width, "- ", "  ", out)),
            Block::Facts(rows) => {
                for (name, value) in rows {
                    wrap(&format!("{name}: {value}"), width, "- ", "  ", out);
                }
            }
            Block::Commands(lines) => lines.iter().for_each(|line| out.push_str(&format!("    {line}\n"))),
            Block::Quote(inner) => {
                let mut quoted = String::new();
                write_text(inner, width - 2, &mut quoted);
                for line in quoted.lines() {
                    out.push_str(format!("> {line}").trim_end());
                    out.push('\n');
                }
            }
        }
    }
}

fn wrap(text: &str, width: usize, first: &str, rest: &str, out: &mut String) {
    let mut column = first.chars().count();
    out.push_str(first);
    for (i, word) in text.split(' ').enumerate() {
        let len = word.chars().count();
        if i > 0 {
            if column + 1 + len > width {
                out.push('\n');
                out.push_str(rest);
                column = rest.chars().count();
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += len;
    }
    out.push('\n');
}

/// Colours stand inline for programs that drop the style sheet, and in it for dark mode. All pairs keep 4.5:1.
const STYLE: &str = "\
:root{color-scheme:light dark;supported-color-schemes:light dark}\
body{margin:0;padding:0}\
h2{font-size:18px;line-height:1.3;margin:24px 0 4px}\
p{margin:8px 0}ol,ul{margin:8px 0;padding-left:24px}li{margin:4px 0}\
.f{width:100%;border-collapse:collapse;table-layout:fixed;margin:8px 0}\
.f th{width:36%;text-align:left;font-weight:normal}\
.f th,.f td{padding:5px 8px 5px 0;vertical-align:top;overflow-wrap:anywhere;word-break:break-word;border-top:1px solid #8a8a8a}\
.f th{color:#505050}\
pre{font-size:14px;white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0;padding:8px;background:#eeeeee;color:#1a1a1a}\
blockquote{margin:8px 0;padding:0 0 0 12px;border-left:4px solid #8a8a8a}\
@media (prefers-color-scheme:dark){\
.p{background:#141414!important;color:#ececec!important}\
.f th{color:#b8b8b8!important}\
pre{background:#2a2a2a!important;color:#ececec!important}}";

/// The HTML part: one column, no image, no link.
pub fn html(title: &str, blocks: &[Block]) -> String {
    let mut body = String::new();
    write_html(blocks, &mut body);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"supported-color-schemes\" content=\"light dark\">\n\
         <meta name=\"format-detection\" content=\"telephone=no, date=no, address=no, email=no, url=no\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body class=\"p\" bgcolor=\"#ffffff\" style=\"margin:0;padding:0;background-color:#ffffff;color:#1a1a1a\">\n\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" class=\"p\" bgcolor=\"#ffffff\" \
         style=\"background-color:#ffffff;color:#1a1a1a\">\n<tr><td align=\"center\" style=\"padding:16px\">\n\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"max-width:600px\">\n\
         <tr><td style=\"font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5;\
         text-align:left;overflow-wrap:anywhere;word-break:break-word\">\n{body}</td></tr>\n</table>\n</td></tr>\n</table>\n</body>\n</html>\n",
        escape(title)
    )
}

fn write_html(blocks: &[Block], out: &mut String) {
    for block in blocks {
        match block {
            Block::Lead(text) => {
                out.push_str(&format!("<p style=\"font-size:18px\"><strong>{}</strong></p>\n", escape(text)))
            }
            Block::Heading(text) => out.push_str(&format!("<h2>{}</h2>\n", escape(text))),
            Block::Para(text) => out.push_str(&format!("<p>{}</p>\n", escape(text))),
            Block::Steps(items) => list("ol", items, out),
            Block::Bullets(items) => list("ul", items, out),
            Block::Facts(rows) => {
                out.push_str("<table class=\"f\" width=\"100%\">\n");
                for (name, value) in rows {
                    out.push_str(&format!(
                        "<tr><th scope=\"row\" align=\"left\" valign=\"top\">{}</th><td>{}</td></tr>\n",
                        escape(name),
                        escape(value)
                    ));
                }
                out.push_str("</table>\n");
            }
            Block::Commands(lines) => out.push_str(&format!("<pre>{}</pre>\n", escape(&lines.join("\n")))),
            Block::Quote(inner) => {
                out.push_str("<blockquote>\n");
                write_html(inner, out);
                out.push_str("</blockquote>\n");
            }
        }
    }
}

fn list(tag: &str, items: &[String], out: &mut String) {
    out.push_str(&format!("<{tag}>\n"));
    items.iter().for_each(|item| out.push_str(&format!("<li>{}</li>\n", escape(item))));
    out.push_str(&format!("</{tag}>\n"));
}

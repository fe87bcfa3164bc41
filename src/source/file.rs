//! JSON-lines files and standard input: a partition of one's own, where the offset is the line's number from 0. Or files of
//! JSON documents over any number of lines, where it is the document's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::{Batch, RawMessage};

/// What is kept of a line: one byte more than a message may have, so that decoding says that it is too large.
const LINE: usize = 64 * 1024 + 1;
/// What is kept of a document: one byte more than it may have.
const DOCUMENT: usize = (16 << 20) + 1;
/// Bounds of a batch.
const MESSAGES: usize = 1024;
/// Bounds of a batch, in bytes.
const BYTES: usize = 1 << 20;

/// Reads lines in batches.
pub struct FileSource {
    input: Box<dyn BufRead + Send>,
    topic: Arc<str>,
    partition: i32,
    next: i64,
    documents: bool,
}

impl FileSource {
    /// A file, or standard input for `-`.
    pub fn open(path: &Path, topic: &str, partition: i32) -> Result<FileSource, String> {
        if path == Path::new("-") {
            return Ok(FileSource::new(BufReader::with_capacity(1 << 16, io::stdin()), topic, partition));
        }
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("cannot open `{}`: there is no such file", path.display()),
            _ => format!("cannot open `{}`: {error}", path.display()),
        })?;
        Ok(FileSource::new(BufReader::with_capacity(1 << 18, file), topic, partition))
    }

    /// Any reader.
    pub fn new(input: impl BufRead + Send + 'static, topic: &str, partition: i32) -> FileSource {
        FileSource { input: Box::new(input), topic: topic.into(), partition, next: 0, documents: false }
    }

    /// Messages are whole JSON objects or arrays, wherever their lines end.
    pub fn of_documents(self) -> FileSource {
        FileSource { documents: true, ..self }
    }

    /// The number of the next line.
    pub fn next_offset(&self) -> i64 {
        self.next
    }

    /// The next lines; `None` at the end. Empty lines are passed over, but counted.
    pub fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch =
            Batch { topic: self.topic.clone(), partition: self.partition, messages: Vec::new(), bytes: Vec::new() };
        while batch.messages.len() < MESSAGES && batch.bytes.len() < BYTES {
            let start = batch.bytes.len();
            let more =
                if self.documents { self.read_document(&mut batch.bytes)? } else { self.read_line(&mut batch.bytes)? };
            if !more {
                break;
            }
            let offset = self.next;
            self.next += 1;
            let end = start + batch.bytes[start..].trim_ascii_end().len();
            batch.bytes.truncate(end);
            if end > start {
                batch.messages.push(RawMessage { offset, key: None, payload: start..end });
            }
        }
        Ok((!batch.messages.is_empty()).then_some(batch))
    }

    /// Appends the next object or array, cut to [`DOCUMENT`] bytes; false at the end of the input. What is neither goes with
    /// the next one, which so is refused.
    fn read_document(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let (start, mut depth, mut in_text, mut escaped) = (bytes.len(), 0u32, false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(bytes.len() > start);
            }
            let mut taken = buffer.len();
            let mut is_whole = false;
            for (n, byte) in buffer.iter().enumerate() {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_text => escaped = true,
                    b'"' => in_text = !in_text,
                    b'{' | b'[' if !in_text => depth += 1,
                    b'}' | b']' if !in_text => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 {
                            (taken, is_whole) = (n + 1, true);
                            break;
                        }
                    }
                    _ => {}
                }
            }
            let room = DOCUMENT.saturating_sub(bytes.len() - start);
            bytes.extend_from_slice(&buffer[..taken.min(room)]);
            self.input.consume(taken);
            if is_whole {
                let blank = bytes[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                bytes.drain(start..start + blank);
                return Ok(true);
            }
        }
    }

    /// Appends a line without its end, cut to [`LINE`] bytes; false at the end of the input.
    fn read_line(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let start = bytes.len();
        let read = (&mut self.input).take(LINE as u64).read_until(b'\n', bytes)?;
        if bytes.last() == Some(&b'\n') && read > 0 {
            bytes.pop();
        } else if bytes.len() - start == LINE {
            self.input.skip_until(b'\n')?;
        }
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: impl Into<Vec<u8>>) -> Vec<(i64, Vec<u8>)> {
        let mut source = FileSource::new(io::Cursor::new(text.into()), "file", 0);
        let mut lines = Vec::new();
        while let Some(batch) = source.next_batch().unwrap() {
            assert!(batch.messages.len() <= MESSAGES);
            assert!(batch.bytes.len() <= BYTES + LINE);
            lines.extend(batch.messages.iter().map(|message| (message.offset, batch.payload(message).to_vec())));
        }
        lines
    }

    #[test]
    fn lines_are_numbered_from_0_with_empty_ones_counted() {
        assert_eq!(read_all("a\n\nb\r\nc"), [(0, b"a".to_vec()), (2, b"b".to_vec()), (3, b"c".to_vec())]);
        assert!(read_all("").is_empty());
        assert!(read_all("\n \n").is_empty());
    }

    #[test]
    fn documents_end_where_their_brackets_close() {
        let text = "{\n \"a\": \"}\\\"{\"\n}\n[{\"b\":1},\n{\"b\":2}]{\"c\":{}}\n\n{\"cut\":";
        let mut source = FileSource::new(io::Cursor::new(text), "file", 0).of_documents();
        let batch = source.next_batch().unwrap().unwrap();
        let found: Vec<_> =
            batch.messages.iter().map(|m| String::from_utf8_lossy(batch.payload(m)).into_owned()).collect();
        assert_eq!(found[0], "{\n \"a\": \"}\\\"{\"\n}");
        assert_eq!(found[1..3], ["[{\"b\":1},\n{\"b\":2}]", "{\"c\":{}}"]);
        assert_eq!((found.len(), found[3].trim()), (4, "{\"cut\":"));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        for (length, kept) in [(LINE - 1, LINE - 1), (LINE, LINE), (LINE + 1, LINE), (5 * LINE, LINE)] {
            let mut text = vec![b'x'; length];
            text.extend_from_slice(b"\nnext\n");
            let lines = read_all(text);
            assert_eq!((lines[0].1.len(), lines[1].clone()), (kept, (1, b"next".to_vec())), "{length}");
        }
    }

    #[test]
    fn many_lines_come_in_bounded_batches() {
        let text: String = (0..5000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        let lines = read_all(text);
        assert_eq!(lines.len(), 5000);
        assert!(
            lines
                .iter()
                .enumerate()
                .all(|(n, (offset, line))| { *offset == n as i64 && *line == format!("{{\"n\":{n}}}").into_bytes() })
        );
    }

    #[test]
    fn a_batch_of_empty_lines_is_not_the_end() {
        let text = "\n".repeat(MESSAGES * 3) + "last";
        assert_eq!(read_all(text), [(MESSAGES as i64 * 3, b"last".to_vec())]);
    }
}

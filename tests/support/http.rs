//! A client of the control port that does no more than it is told.

#![allow(dead_code)] // Each test uses its own part of this.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than the node keeps any connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: String,
}

/// Asks for a page; an error where the node closes the connection without an answer.
pub fn get(address: &str, path: &str) -> io::Result<Answer> {
    get_as(address, path, "*/*")
}

/// The same with what the client accepts.
pub fn get_as(address: &str, path: &str, accept: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        code: code.ok_or(io::ErrorKind::InvalidData)?,
        head: head.to_lowercase(),
        body: body.to_owned(),
    })
}

/// Where a node said that its control port is; none as long as it has not.
pub fn control_address(stderr: &str) -> Option<String> {
    stderr.lines().find_map(|line| {
        let rest = line.strip_prefix("listening on ")?;
        Some(rest.strip_suffix(" (control)")?.to_owned())
    })
}

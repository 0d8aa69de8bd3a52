//! What the kernel's loopback gives two threads that block.
//!
//! Owns: one TCP connection to itself, on a port that the kernel chooses. Never does: listening
//! beyond 127.0.0.1. Runs on: the thread that asks and one more.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::telemetry::empty_histogram;

/// Bytes of one write for the bandwidth.
const PIECE_BYTES: usize = 1 << 20;

/// A peer that takes longer is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long messages of `bytes` take there and back, one at a time: nanoseconds. The other thread
/// reads a whole message and writes it back; both block in the kernel meanwhile. Nagle's algorithm
/// is off, as in every client of a broker. At least one round trip.
///
/// # Errors
/// There is no loopback, or a write or read on it fails.
pub fn round_trip(bytes: usize, span: Duration) -> io::Result<Histogram<u64>> {
    let (near, mut far) = pair()?;
    std::thread::scope(|scope| {
        let echo = scope.spawn(move || -> io::Result<()> {
            let mut message = vec![0; bytes];
            loop {
                match far.read_exact(&mut message) {
                    Ok(()) => far.write_all(&message)?,
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        });
        // Closes its end however it ends, and with that the other thread.
        let timed = time_echoes(near, bytes, span);
        let echoed = echo.join().expect("echoing has nothing that panics");
        timed.and_then(|histogram| echoed.map(|()| histogram))
    })
}

fn time_echoes(mut near: TcpStream, bytes: usize, span: Duration) -> io::Result<Histogram<u64>> {
    let mut histogram = empty_histogram();
    let mut message = vec![0; bytes];
    let start = Instant::now();
    loop {
        let before = Instant::now();
        near.write_all(&message)?;
        near.read_exact(&mut message)?;
        histogram.saturating_record(before.elapsed().as_nanos() as u64);
        if start.elapsed() >= span {
            return Ok(histogram);
        }
    }
}

/// Bytes a second that one connection carries one way, in writes of 1 MiB, until the last byte is
/// read.
///
/// # Errors
/// As [`round_trip`].
pub fn bandwidth(span: Duration) -> io::Result<f64> {
    let (mut near, mut far) = pair()?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || -> io::Result<u64> {
            let mut piece = vec![0; PIECE_BYTES];
            let mut total = 0;
            loop {
                match far.read(&mut piece)? {
                    0 => return Ok(total),
                    read => total += read as u64,
                }
            }
        });
        let piece = vec![0; PIECE_BYTES];
        let mut written = Ok(());
        while written.is_ok() && start.elapsed() < span {
            written = near.write_all(&piece);
        }
        drop(near);
        let total = reading.join().expect("reading has nothing that panics");
        written?;
        Ok(total? as f64 / start.elapsed().as_secs_f64())
    })
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for end in [&near, &far] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((near, far))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_fill_the_sockets_buffers_come_back_too() {
        let histogram = round_trip(8 << 20, Duration::ZERO).unwrap();
        assert_eq!(histogram.len(), 1);
    }

    #[test]
    fn a_connection_carries_bytes() {
        assert!(bandwidth(Duration::from_millis(5)).unwrap() > 0.0);
    }
}

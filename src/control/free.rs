//! Whether the places where a node is to listen are free.
//!
//! Owns: waiting for a process that is just going, and removing the sockets that it left. Never does: bind;
//! each core does that. Runs on: the thread that starts a node.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::error::StartError;

/// How long the socket of a process that was killed may still take connections: the kernel closes
/// what its io_uring had under way only after the process is gone.
const LISTENER_GONE_MAX: Duration = Duration::from_secs(5);

/// Every core will bind each address with SO_REUSEPORT, and so could another node of the same
/// user, unnoticed. A connection finds that out; a bind without SO_REUSEPORT would, too, but it also
/// fails for a minute after a node that ended its connections itself (TIME_WAIT).
pub(super) fn check_addresses(addresses: &[SocketAddr]) -> Result<(), StartError> {
    for address in addresses {
        let start = Instant::now();
        while TcpStream::connect_timeout(address, LISTENER_GONE_MAX).is_ok() {
            if start.elapsed() > LISTENER_GONE_MAX {
                return Err(StartError::Listen {
                    address: address.to_string(),
                    reason: "another process listens there".to_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// Removes what an earlier node left at the sockets' paths; refuses one that is in use.
pub(super) fn prepare_unix(paths: &[PathBuf]) -> Result<(), StartError> {
    for path in paths {
        let refused = |reason: String| StartError::Listen {
            address: path.display().to_string(),
            reason,
        };
        let Ok(metadata) = std::fs::symlink_metadata(path) else {
            continue;
        };
        if !metadata.file_type().is_socket() {
            return Err(refused("something that is no socket is there".to_owned()));
        }
        let start = Instant::now();
        while UnixStream::connect(path).is_ok() {
            if start.elapsed() > LISTENER_GONE_MAX {
                return Err(refused("another process listens there".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_file(path).map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

//! TLS on a listener: 1.2 and 1.3, by rustls over ring.
//!
//! Sessions are not resumed: connections of Kafka's clients live long, and a cache of sessions would be
//! shared by all cores behind a lock.
//!
//! Owns: certificates and keys in memory. Never does: limit how long a handshake takes; that is the
//! connection's task's. Runs on: made on a control thread (it reads files), used by every core.

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_lite::{AsyncRead, AsyncWrite};
use futures_rustls::pki_types::pem::{self, PemObject};
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls;
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::server::danger::ClientCertVerifier;
use futures_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use futures_rustls::rustls::sign::CertifiedKey;
use futures_rustls::rustls::{RootCertStore, ServerConfig};

/// A connection whose handshake is done.
pub use futures_rustls::server::TlsStream;

/// The files; all of them PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The node's certificate, then those between it and the root.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// Roots of clients' certificates. If given, a client without a certificate of theirs is refused.
    pub client_ca: Option<PathBuf>,
}

/// Which of [`TlsOptions`]' files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// [`TlsOptions::certificate`].
    Certificate,
    /// [`TlsOptions::key`].
    Key,
    /// [`TlsOptions::client_ca`].
    ClientCa,
}

impl std::fmt::Display for TlsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TlsFile::Certificate => "certificate",
            TlsFile::Key => "key",
            TlsFile::ClientCa => "client_ca",
        })
    }
}

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{file}: cannot read {}: {source}", path.display())]
    Read {
        /// The field.
        file: TlsFile,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file is broken.
    #[error("{file}: {} is not PEM: {source}", path.display())]
    Pem {
        /// The field.
        file: TlsFile,
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        source: pem::Error,
    },
    /// The file has no section of the kind that is looked for.
    #[error("{file}: {} has no {sought}", path.display())]
    Missing {
        /// The field.
        file: TlsFile,
        /// The file.
        path: PathBuf,
        /// "certificate" or "private key".
        sought: &'static str,
    },
    /// A section's content is of no use.
    #[error("{file}: {} is of no use: {source}", path.display())]
    Content {
        /// The field.
        file: TlsFile,
        /// The file.
        path: PathBuf,
        /// What rustls says of it.
        source: rustls::Error,
    },
    /// Key and certificate do not belong together.
    #[error("key: {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
}

/// Makes connections of a listener speak TLS.
#[derive(Clone)]
pub struct TlsAcceptor(futures_rustls::TlsAcceptor);

impl TlsAcceptor {
    /// Reads the files. Whether the certificates' dates fit is for clients to judge.
    pub fn load(options: &TlsOptions) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = match &options.client_ca {
            Some(path) => client_verifier(path, &provider)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let own = own_certificate(options, &provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor(Arc::new(config).into()))
    }

    /// The server's side of a handshake. Takes as long as the client likes.
    pub fn accept<S>(&self, stream: S) -> impl Future<Output = io::Result<TlsStream<S>>> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.0.accept(stream)
    }
}

impl std::fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

fn own_certificate(
    options: &TlsOptions,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(TlsFile::Certificate, &options.certificate)?;
    let text = read(TlsFile::Key, &options.key)?;
    let key = PrivateKeyDer::pem_slice_iter(&text)
        .next()
        .ok_or_else(|| missing(TlsFile::Key, &options.key, "private key"))?
        .map_err(|source| not_pem(TlsFile::Key, &options.key, source))?;
    let content = |file, path: &Path, source| TlsError::Content {
        file,
        path: path.to_owned(),
        source,
    };
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|source| content(TlsFile::Key, &options.key, source))?;
    let own = CertifiedKey::new(chain, key);
    match own.keys_match() {
        // "Unknown": the key does not tell its public half; rustls takes that too.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(own),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
            key: options.key.clone(),
            certificate: options.certificate.clone(),
        }),
        Err(source) => Err(content(TlsFile::Certificate, &options.certificate, source)),
    }
}

fn client_verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let content = |source| TlsError::Content {
        file: TlsFile::ClientCa,
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(TlsFile::ClientCa, path)? {
        roots.add(certificate).map_err(content)?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder
        .build()
        .map_err(|error| content(rustls::Error::General(error.to_string())))
}

/// All certificates of a file, at least one.
fn certificates(file: TlsFile, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file, path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|source| not_pem(file, path, source))?;
    match found.is_empty() {
        true => Err(missing(file, path, "certificate")),
        false => Ok(found),
    }
}

fn read(file: TlsFile, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        file,
        path: path.to_owned(),
        source,
    })
}

fn not_pem(file: TlsFile, path: &Path, source: pem::Error) -> TlsError {
    TlsError::Pem {
        file,
        path: path.to_owned(),
        source,
    }
}

fn missing(file: TlsFile, path: &Path, sought: &'static str) -> TlsError {
    TlsError::Missing {
        file,
        path: path.to_owned(),
        sought,
    }
}

#[cfg(test)]
mod tests;

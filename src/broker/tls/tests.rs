use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::future::{block_on, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::TlsConnector;
use futures_rustls::pki_types::ServerName;
use futures_rustls::rustls::{ClientConfig, SupportedProtocolVersion, version};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

use super::*;

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    is_closed: bool,
    reader: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// One end of a connection in memory.
struct End {
    from: Rc<RefCell<Pipe>>,
    to: Rc<RefCell<Pipe>>,
}

fn connection() -> (End, End) {
    let pipes: [Rc<RefCell<Pipe>>; 2] = Default::default();
    let [left, right] = [(0, 1), (1, 0)].map(|(from, to)| End {
        from: Rc::clone(&pipes[from]),
        to: Rc::clone(&pipes[to]),
    });
    (left, right)
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.from.borrow_mut();
        if pipe.bytes.is_empty() && !pipe.is_closed {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut pipe.bytes, into))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.to.borrow_mut();
        pipe.bytes.extend(from);
        pipe.wake();
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.to.borrow_mut();
        pipe.is_closed = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut pipe = self.to.borrow_mut();
        pipe.is_closed = true;
        pipe.wake();
    }
}

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// When a certificate is good.
#[derive(Clone, Copy)]
enum Dates {
    Good,
    Past,
}

/// A certificate and its key, PEM.
struct Identity {
    certificate: String,
    key: String,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(authority_params(name), key);
        Authority(root.expect("an authority"))
    }

    fn below(name: &str, root: &Authority) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let middle = CertifiedIssuer::signed_by(authority_params(name), key, &root.0);
        Authority(middle.expect("an authority"))
    }

    fn sign(&self, dates: Dates) -> Identity {
        let mut params = CertificateParams::new(["node".to_owned()]).expect("a name");
        match dates {
            Dates::Good => {}
            Dates::Past => params.not_after = date_time_ymd(2001, 1, 1),
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        Arc::new(roots)
    }
}

/// A folder with an acceptor's files.
struct Files {
    folder: TempDir,
    options: TlsOptions,
}

impl Files {
    fn of(own: &Identity) -> Files {
        let folder = TempDir::new().expect("a folder");
        let options = TlsOptions {
            certificate: folder.path().join("node.pem"),
            key: folder.path().join("node.key"),
            client_ca: None,
        };
        fs::write(&options.certificate, &own.certificate).expect("written");
        fs::write(&options.key, &own.key).expect("written");
        Files { folder, options }
    }

    fn with_client_ca(mut self, text: &str) -> Files {
        let path = self.folder.path().join("clients.pem");
        fs::write(&path, text).expect("written");
        self.options.client_ca = Some(path);
        self
    }

    fn error(&self) -> String {
        let error = TlsAcceptor::load(&self.options).expect_err("it must not load");
        let text = error.to_string();
        text.replace(&*self.folder.path().to_string_lossy(), "DIR")
    }
}

/// A client that trusts `authority` and shows `identity`.
fn client(
    authority: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(authority.roots());
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
            let chain = chain.collect::<Result<_, _>>().expect("a chain");
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a client")
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// Says "ping" and hears "pong", or else: what the server and the client say of it.
fn talk(acceptor: &TlsAcceptor, client: TlsConnector) -> (io::Result<()>, io::Result<()>) {
    let (ours, theirs) = connection();
    let server = async {
        let mut stream = acceptor.accept(ours).await?;
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"ping");
        stream.write_all(b"pong").await?;
        stream.close().await
    };
    let name = ServerName::try_from("node").expect("a name");
    let client = async {
        let mut stream = client.connect(name, theirs).await?;
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        assert_eq!(heard, b"pong");
        Ok(())
    };
    block_on(zip(server, client))
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

#[test]
fn both_versions_carry_bytes() {
    let authority = Authority::new("root");
    let files = Files::of(&authority.sign(Dates::Good));
    let acceptor = TlsAcceptor::load(&files.options).expect("good files");
    for versions in [&[&version::TLS12][..], &[&version::TLS13], BOTH] {
        let (served, asked) = talk(&acceptor, client(&authority, None, versions));
        served.expect("the server's side");
        asked.expect("the client's side");
    }
}

/// The whole chain is sent: a client that knows the root alone can follow it.
#[test]
fn intermediate_certificates_are_sent() {
    let root = Authority::new("root");
    let middle = Authority::below("middle", &root);
    let mut own = middle.sign(Dates::Good);
    own.certificate.push_str(&middle.0.pem());
    let acceptor = TlsAcceptor::load(&Files::of(&own).options).expect("good files");
    let (_, asked) = talk(&acceptor, client(&root, None, BOTH));
    asked.expect("the chain ends at the root");
}

#[test]
fn a_client_that_does_not_trust_us_goes_away() {
    let authority = Authority::new("root");
    let good = Files::of(&authority.sign(Dates::Good));
    let expired = Files::of(&authority.sign(Dates::Past));
    let other = Authority::new("other");
    for (files, trusted, word) in [
        (good, &other, "UnknownIssuer"),
        (expired, &authority, "expired"),
    ] {
        let acceptor = TlsAcceptor::load(&files.options).expect("good files");
        let (served, asked) = talk(&acceptor, client(trusted, None, BOTH));
        served.expect_err("the client left");
        let error = asked.expect_err("not to be trusted").to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn client_certificates_are_required_where_their_roots_are_given() {
    let authority = Authority::new("root");
    let clients = Authority::new("clients");
    let files = Files::of(&authority.sign(Dates::Good)).with_client_ca(&clients.0.pem());
    let acceptor = TlsAcceptor::load(&files.options).expect("good files");
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let good = clients.sign(Dates::Good);
        let (served, asked) = talk(&acceptor, client(&authority, Some(&good), versions));
        served.expect("a good certificate");
        asked.expect("a good certificate");
        let foreign = Authority::new("foreign").sign(Dates::Good);
        let expired = clients.sign(Dates::Past);
        for refused in [None, Some(&foreign), Some(&expired)] {
            let (served, asked) = talk(&acceptor, client(&authority, refused, versions));
            served.expect_err("nobody comes in");
            let error = asked.expect_err("the client is told").to_string();
            assert!(error.contains("alert"), "{error}");
        }
    }
}

#[test]
fn bytes_that_are_no_tls_end_the_handshake() {
    let files = Files::of(&Authority::new("root").sign(Dates::Good));
    let acceptor = TlsAcceptor::load(&files.options).expect("good files");
    for bytes in [
        &b""[..],
        b"\0\0\0\x10plain Kafka here",
        b"\x16\x03\x01\xff\xff",
        &[0xff; 999],
    ] {
        let (ours, mut theirs) = connection();
        let end = block_on(async {
            theirs.write_all(bytes).await?;
            theirs.close().await?;
            acceptor.accept(ours).await.map(|_| ())
        });
        assert!(end.is_err(), "{bytes:?}");
    }
}

#[test]
fn missing_files_are_named_with_their_field() {
    let authority = Authority::new("root");
    let files = Files::of(&authority.sign(Dates::Good));
    fs::remove_file(&files.options.key).expect("removed");
    let no_file = "No such file or directory (os error 2)";
    assert_eq!(
        files.error(),
        format!("key: cannot read DIR/node.key: {no_file}")
    );
    fs::remove_file(&files.options.certificate).expect("removed");
    assert_eq!(
        files.error(),
        format!("certificate: cannot read DIR/node.pem: {no_file}")
    );
    let mut files = Files::of(&authority.sign(Dates::Good));
    files.options.client_ca = Some(files.folder.path().join("none.pem"));
    assert_eq!(
        files.error(),
        format!("client_ca: cannot read DIR/none.pem: {no_file}")
    );
}

#[test]
fn files_with_other_things_in_them_are_refused() {
    let authority = Authority::new("root");
    let own = authority.sign(Dates::Good);
    let swapped = Identity {
        certificate: own.key.clone(),
        key: own.certificate.clone(),
    };
    assert_eq!(
        Files::of(&swapped).error(),
        "certificate: DIR/node.pem has no certificate"
    );
    let files = Files::of(&own);
    fs::write(&files.options.key, "").expect("written");
    assert_eq!(files.error(), "key: DIR/node.key has no private key");
    let cut = &own.key[..own.key.len() / 2];
    fs::write(&files.options.key, cut).expect("written");
    assert!(files.error().starts_with("key: DIR/node.key is not PEM: "));
    let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    fs::write(&files.options.key, nonsense).expect("written");
    assert!(
        files
            .error()
            .starts_with("key: DIR/node.key is of no use: ")
    );
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let files = Files::of(&own).with_client_ca(nonsense);
    assert!(
        files
            .error()
            .starts_with("client_ca: DIR/clients.pem is of no use: ")
    );
    let files = Files::of(&own).with_client_ca("");
    assert_eq!(
        files.error(),
        "client_ca: DIR/clients.pem has no certificate"
    );
    let files = Files::of(&own);
    fs::write(&files.options.certificate, nonsense).expect("written");
    assert!(
        files
            .error()
            .starts_with("certificate: DIR/node.pem is of no use: ")
    );
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let authority = Authority::new("root");
    let mixed = Identity {
        certificate: authority.sign(Dates::Good).certificate,
        key: authority.sign(Dates::Good).key,
    };
    assert_eq!(
        Files::of(&mixed).error(),
        "key: DIR/node.key does not belong to the certificate in DIR/node.pem"
    );
}

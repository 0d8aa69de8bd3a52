//! Certificates for a listener and its clients, in files.

#![allow(dead_code)] // Each test uses its own part of this.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tempfile::TempDir;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Somebody who signs certificates, and the folder that they lie in.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = Authority {
            folder: TempDir::new().expect("a folder"),
            issuer: CertifiedIssuer::self_signed(params, key).expect("an authority"),
        };
        fs::write(authority.root(), authority.issuer.pem()).expect("written");
        authority
    }

    /// The authority's own certificate.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// A certificate for a listener at this address.
    pub fn server(&self, address: SocketAddr) -> Identity {
        let params = CertificateParams::new([address.ip().to_string()]);
        self.sign("node", params.expect("an address"))
    }

    /// A client's certificate.
    pub fn client(&self) -> Identity {
        self.sign("client", client_params())
    }

    /// A client's certificate that was good long ago.
    pub fn expired_client(&self) -> Identity {
        let mut params = client_params();
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign("expired", params)
    }

    fn sign(&self, file: &str, mut params: CertificateParams) -> Identity {
        params.distinguished_name.push(DnType::CommonName, file);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let identity = Identity {
            certificate: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        fs::write(&identity.certificate, certificate.pem()).expect("written");
        fs::write(&identity.key, key.serialize_pem()).expect("written");
        identity
    }
}

fn client_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

//! TLS to the servers behind the ports: builds the client settings for PostgreSQL, Redis and Kafka.
//!
//! Each engine passes them to its client library. `config` decides which setting names which file.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use crate::config::{TlsConfig, TlsMode};

/// TLS settings that cannot be used: the file and the cause, without any content of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("certificate authorities ({file}): {cause}")]
    Authorities { file: String, cause: String },
    #[error("client certificate ({file}): {cause}")]
    Identity { file: String, cause: String },
    #[error("TLS cannot be set up: {0}")]
    Provider(String),
}

/// The client settings for one kind of server; `None` if connections are not encrypted. Callers with
/// [`TlsMode::VerifyOthers`] call it for servers on other machines only. Blocks while it reads the certificate files.
pub fn client(config: &TlsConfig) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Provider(error.to_string()))?;
    let builder = match config.mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        TlsMode::VerifyFull | TlsMode::VerifyOthers => {
            builder.with_root_certificates(authorities(config.ca_file.as_deref())?)
        }
    };
    let settings = match &config.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let failed = |file: &str, cause: String| TlsError::Identity {
                file: file.to_owned(),
                cause,
            };
            let chain = certificates(certificate).map_err(|cause| failed(certificate, cause))?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| failed(key, error.to_string()))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| failed(certificate, error.to_string()))?
        }
    };
    Ok(Some(Arc::new(settings)))
}

/// The trusted certificate authorities of a file or, without a file, of the operating system.
fn authorities(file: Option<&str>) -> Result<RootCertStore, TlsError> {
    let failed = |cause: String| TlsError::Authorities {
        file: file.unwrap_or("those of the system").to_owned(),
        cause,
    };
    let mut roots = RootCertStore::empty();
    if let Some(path) = file {
        for certificate in certificates(path).map_err(failed)? {
            roots
                .add(certificate)
                .map_err(|error| failed(error.to_string()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(failed("no certificate authority is there".to_owned()));
    }
    Ok(roots)
}

/// The certificates of a PEM file, in their order.
fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .map_err(|error| error.to_string())?
        .map(|certificate| certificate.map_err(|error| error.to_string()))
        .collect()
}

/// Accepts any certificate, but verifies that the server has the certificate's private key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! TLS of the metrics endpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::web_config::WebConfigError;

/// The keys of `tls_server_config`. Ciphers and curves cannot be chosen: all that there are, are sound.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsFile {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_ca_file: PathBuf,
    client_auth_type: ClientAuth,
    min_version: Version,
    max_version: Version,
}

/// Whether clients need a certificate; Go's names, of which those without a check are not supported.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Version {
    #[default]
    #[serde(rename = "")]
    Any,
    TLS12,
    TLS13,
}

impl TlsFile {
    /// The files that it names; paths are relative to the configuration's.
    pub(super) fn files(&self, directory: &Path) -> Vec<PathBuf> {
        let named = [&self.cert_file, &self.key_file, &self.client_ca_file];
        named
            .into_iter()
            .filter(|file| !file.as_os_str().is_empty())
            .map(|file| directory.join(file))
            .collect()
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, WebConfigError> {
        let wanted = |version| {
            self.min_version <= version && (self.max_version == Version::Any || version <= self.max_version)
        };
        let all = [(Version::TLS12, &TLS12), (Version::TLS13, &TLS13)];
        let versions: Vec<_> =
            all.into_iter().filter(|(version, _)| wanted(*version)).map(|(_, version)| version).collect();
        if versions.is_empty() {
            let reason = "no version is left between it and max_version";
            return Err(WebConfigError::setting("tls_server_config.min_version", &reason));
        }
        Ok(versions)
    }
}

/// What the endpoint presents, and whom it asks for a certificate.
pub(super) fn server(file: &TlsFile, directory: &Path) -> Result<Arc<ServerConfig>, WebConfigError> {
    for (key, path) in [("cert_file", &file.cert_file), ("key_file", &file.key_file)] {
        if path.as_os_str().is_empty() {
            return Err(WebConfigError::setting("tls_server_config", &format!("{key} is missing")));
        }
    }
    let chain = certificates("tls_server_config.cert_file", &directory.join(&file.cert_file))?;
    let key_path = directory.join(&file.key_file);
    let key = PrivateKeyDer::from_pem_file(&key_path)
        .map_err(|error| pem("tls_server_config.key_file", &key_path, &error))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&file.versions()?)
        .map_err(|error| WebConfigError::setting("tls_server_config", &error))?;
    let builder = match (file.client_auth_type, file.client_ca_file.as_os_str().is_empty()) {
        (ClientAuth::NoClientCert, true) => builder.with_no_client_auth(),
        (ClientAuth::NoClientCert, false) => {
            let reason = "a client_ca_file is of no use without it: say RequireAndVerifyClientCert";
            return Err(WebConfigError::setting("tls_server_config.client_auth_type", &reason));
        }
        (_, true) => {
            let reason = "client_auth_type asks for it: name the authority of the clients' certificates";
            return Err(WebConfigError::setting("tls_server_config.client_ca_file", &reason));
        }
        (asked, false) => {
            let key = "tls_server_config.client_ca_file";
            let mut roots = RootCertStore::empty();
            for certificate in certificates(key, &directory.join(&file.client_ca_file))? {
                roots.add(certificate).map_err(|error| WebConfigError::setting(key, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match asked {
                ClientAuth::VerifyClientCertIfGiven => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| WebConfigError::setting(key, &e))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| WebConfigError::setting("tls_server_config: certificate and key", &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, WebConfigError> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| pem(key, path, &error))?;
    if found.is_empty() {
        return Err(WebConfigError::setting(key, &format!("{} holds no certificate in PEM", path.display())));
    }
    Ok(found)
}

fn pem(key: &'static str, path: &Path, error: &impl std::fmt::Display) -> WebConfigError {
    WebConfigError::setting(key, &format!("{}: {error}", path.display()))
}

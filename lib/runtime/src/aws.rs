//! The AWS configuration that every SDK client shares, and which authorities its connections trust.
//!
//! To parse the system's root certificates is most of a cold start (20 of 24 million instructions,
//! per client), and a function needs none of them to reach AWS: Amazon's services chain to the five
//! roots of Amazon Trust Services, which are built in. Nor is a connector made before the first call.

use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::meta::region::ProvideRegion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Amazon Root CA 1 to 4 and Starfield Services Root CA G2, from
/// <https://www.amazontrust.com/repository/>: what AWS asks of whoever pins its authorities.
const AMAZON_ROOTS: &[u8] = include_bytes!("aws/amazon-roots.pem");

/// Whom the SDK's connections trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Amazon's own authorities.
    Amazon,
    /// Those of the system; they are parsed at the first call.
    System,
    /// Those of a PEM file, as for a proxy that has an authority of its own.
    Bundle(Vec<u8>),
}

impl FromStr for Roots {
    type Err = String;

    /// Reads `amazon`, `system` or the path of a file, and the file: it must be of certificates.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "amazon" => Ok(Self::Amazon),
            "system" => Ok(Self::System),
            path => match std::fs::read(path) {
                Ok(pem) => parse(&pem).map(|()| Self::Bundle(pem)),
                Err(error) => Err(format!("must be amazon, system or a file: {error}")),
            },
        }
    }
}

/// The SDK panics at a certificate that it cannot read, and at its first call only.
fn parse(pem: &[u8]) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| store.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| format!("must be a PEM file of root certificates: {error}"))?;
    }
    if store.is_empty() {
        return Err("must be a PEM file of root certificates: it has none".to_owned());
    }
    Ok(())
}

/// The configuration of the SDK's clients: region and keys from the environment, where Lambda puts
/// them, and nowhere else. The SDK's default chain would bring STS, the instance's metadata and
/// profiles along, and look for a profile's file at each start.
///
/// `endpoint` is where AWS is, if it is not AWS.
pub(crate) async fn config(roots: Roots, endpoint: Option<String>) -> SdkConfig {
    // Bounded well below every function's own timeout, so that a hung call becomes a retry.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build();
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(LazyClient {
            roots,
            client: OnceLock::new(),
        })
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts);
    config.set_endpoint_url(endpoint);
    config.build()
}

/// The SDK's HTTP client, made at the first call.
///
/// The SDK would make a connector for each of its clients as that is configured, only to have the
/// certificates parsed early; that is `validate_base_client_config`, which does nothing here.
#[derive(Debug)]
struct LazyClient {
    roots: Roots,
    client: OnceLock<SharedHttpClient>,
}

impl LazyClient {
    fn client(&self) -> &SharedHttpClient {
        self.client.get_or_init(|| {
            let roots = match &self.roots {
                Roots::Amazon => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
                Roots::System => TrustStore::empty().with_native_roots(true),
                Roots::Bundle(pem) => TrustStore::empty().with_pem_certificate(pem.as_slice()),
            };
            let tls = TlsContext::builder().with_trust_store(roots).build();
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(tls.expect("nothing of it can be wrong yet"))
                .build_https()
        })
    }
}

impl HttpClient for LazyClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.client().http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client.get().and_then(HttpClient::connector_metadata)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use aws_sdk_dynamodb::config::{Credentials, Region};
    use aws_sdk_dynamodb::error::DisplayErrorContext;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use sha2::{Digest, Sha256};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// An authority that nobody trusts, and its certificate in PEM.
    fn authority() -> (CertifiedIssuer<'static, KeyPair>, String) {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let pem = issuer.pem();
        (issuer, pem)
    }

    /// A DynamoDB of one answer, over TLS, with a certificate of that authority; its URL.
    async fn endpoint(issuer: &CertifiedIssuer<'static, KeyPair>) -> String {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, issuer).expect("signed");
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(("localhost", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let Ok(mut connection) = acceptor.accept(connection).await else {
                    continue;
                };
                let mut request = [0; 4096];
                let _ = connection.read(&mut request).await;
                let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\n\
                              content-length: 17\r\n\r\n{\"TableNames\":[]}";
                let _ = connection.write_all(answer.as_bytes()).await;
                let _ = connection.flush().await;
            }
        });
        format!("https://localhost:{port}")
    }

    /// Asks `endpoint` for its tables, trusting `roots`.
    async fn call(endpoint: &str, roots: Roots) -> Result<(), String> {
        let shared = config(roots, None).await;
        let config = aws_sdk_dynamodb::config::Builder::from(&shared)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .endpoint_url(endpoint)
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build();
        let answer = aws_sdk_dynamodb::Client::from_conf(config)
            .list_tables()
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => Err(DisplayErrorContext(error).to_string()),
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    fn read(text: &str) -> Result<Roots, String> {
        let file = file(text);
        file.path().to_str().expect("a path").parse()
    }

    #[tokio::test]
    async fn a_handshake_completes_with_the_authorities_of_a_file_and_fails_with_others() {
        let (issuer, pem) = authority();
        let endpoint = endpoint(&issuer).await;
        let ours = read(&pem).expect("certificates");
        assert_eq!(call(&endpoint, ours).await, Ok(()));
        let (_, others) = authority();
        for others in [
            Roots::Amazon,
            Roots::System,
            read(&others).expect("certificates"),
        ] {
            let refused = call(&endpoint, others).await.expect_err("not trusted");
            assert!(refused.contains("invalid peer certificate"), "{refused}");
        }
    }

    #[test]
    fn amazons_five_authorities_are_the_published_ones() {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(AMAZON_ROOTS)
            .collect::<Result<_, _>>()
            .expect("PEM");
        let prints = roots.iter().map(|root| hex::encode(Sha256::digest(root)));
        // As <https://www.amazontrust.com/repository/> publishes them.
        let published = [
            "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
            "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
            "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
            "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
            "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
        ];
        assert!(prints.eq(published));
        assert_eq!(parse(AMAZON_ROOTS), Ok(()));
    }

    #[test]
    fn what_is_not_certificates_is_refused_at_start() {
        let missing = "/there/is/none.pem".parse::<Roots>().expect_err("no file");
        assert!(
            missing.starts_with("must be amazon, system or a file: "),
            "{missing}"
        );
        let text = read("hello").expect_err("no certificate");
        assert_eq!(text, "must be a PEM file of root certificates: it has none");
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let broken = read(broken).expect_err("not a certificate");
        assert!(
            broken.starts_with("must be a PEM file of root certificates: invalid"),
            "{broken}"
        );
    }
}

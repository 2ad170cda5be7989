//! The client for addresses that people have given, webhooks and chats: it goes to no machine that only this one reaches.
//!
//! Looked at where the connection is made, and not when the address is written down: a name may mean another machine by then. Names
//! are resolved here and the connection goes to one of the addresses that passed; no proxy resolves them again, and no redirect is
//! followed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};

use crate::domain::telling::Failure;

/// Says whether messages may go to an address.
pub type Allows = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The client, and what it may reach.
#[derive(Clone)]
pub struct Outgoing {
    client: Client,
    allows: Allows,
}

impl Outgoing {
    /// Opens it. No connection is made yet.
    pub fn open(allows: Allows) -> anyhow::Result<Self> {
        let resolver = Resolver(Arc::clone(&allows));
        let client = super::http::builder()
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .build()?;
        Ok(Self { client, allows })
    }

    /// The client for this URL. An address in place of a name is never looked up, so it is looked at here. The URL is not part of the words:
    /// it may be a secret.
    pub fn client_for(&self, url: &str) -> Result<&Client, Failure> {
        let url = Url::parse(url).map_err(|error| Failure::permanent(format!("URL: {error}")))?;
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        match literal.parse::<IpAddr>() {
            Ok(address) if !(self.allows)(address) => Err(Failure::permanent(REFUSED)),
            Ok(_) | Err(_) => Ok(&self.client),
        }
    }
}

/// What the outbox shows.
const REFUSED: &str = "not sent: the address is not a public one; the operator allows networks under [outgoing] in the configuration";

struct Resolver(Allows);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allows = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|one| allows(one.ip())).collect();
            if allowed.is_empty() {
                return Err(REFUSED.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::is_public;

    #[tokio::test]
    async fn names_and_numbers_of_this_machine_are_refused() {
        let outgoing = Outgoing::open(Arc::new(is_public)).unwrap();
        for url in [
            "http://127.0.0.1:1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://169.254.169.254/latest/meta-data",
            "http://0/",
        ] {
            let failure = outgoing.client_for(url).err().unwrap();
            assert!(failure.permanent && failure.message == REFUSED, "{url}");
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let client = outgoing.client_for(&url).unwrap();
        let failure = super::super::send(client.get(&url)).await.unwrap_err();
        assert!(
            failure.message.contains("[outgoing]"),
            "{}",
            failure.message
        );
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "somebody has connected");
    }

    #[tokio::test]
    async fn what_is_allowed_is_reached_by_name_and_by_number() {
        let server = wiremock::MockServer::start().await;
        let answer = wiremock::ResponseTemplate::new(200);
        wiremock::Mock::given(wiremock::matchers::any())
            .respond_with(answer)
            .mount(&server)
            .await;
        let outgoing = Outgoing::open(Arc::new(|address: IpAddr| address.is_loopback())).unwrap();
        let port = server.address().port();
        for host in ["127.0.0.1", "localhost"] {
            let url = format!("http://{host}:{port}/");
            let client = outgoing.client_for(&url).unwrap();
            super::super::send(client.get(&url)).await.unwrap();
        }
    }
}

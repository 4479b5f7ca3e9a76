//! Who may read the metrics: by address, and by name and password.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::web_config::WebConfig;

/// How many passwords are hashed at a time: each takes a processor for some tens of milliseconds.
const HASHING: usize = 2;
/// What the password of a user who does not exist is compared with, so that the time tells nothing. A hash of cost 10, as
/// htpasswd's and exporter-toolkit's are.
const NOBODY: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

/// The endpoint's protection.
#[derive(Debug)]
pub(super) struct Access {
    /// The sources that are answered; all if empty.
    pub(super) allow: Vec<IpNet>,
    /// Certificates, users and headers.
    pub(super) web: Option<WebConfig>,
    /// By user: the digest of hash and password that were right last. Hashing each time would cost more than the scrape.
    right: Mutex<HashMap<String, [u8; 32]>>,
    hashing: Semaphore,
}

impl Access {
    pub(super) fn new(allow: Vec<IpNet>, web: Option<WebConfig>) -> Self {
        Self { allow, web, right: Mutex::default(), hashing: Semaphore::new(HASHING) }
    }

    /// Whether there are users, and no TLS.
    pub(super) fn sends_passwords_in_the_clear(&self) -> bool {
        let web = self.web.as_ref().map(WebConfig::current);
        web.is_some_and(|web| web.tls.is_none() && !web.users.is_empty())
    }

    fn admits(&self, source: IpAddr) -> bool {
        // A client of IPv4 at a socket of both families.
        let source = source.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&source))
    }

    /// Whether the password is the user's. `hash` is none for a user who does not exist.
    async fn is_right(&self, user: String, password: String, hash: Option<String>) -> bool {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let digest: [u8; 32] = Sha256::digest(format!("{hash}\0{password}")).into();
        if self.lock().get(&user) == Some(&digest) {
            return true;
        }
        // Never closed.
        let Ok(_turn) = self.hashing.acquire().await else { return false };
        let verified = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash)).await;
        let right = known && matches!(verified, Ok(Ok(true)));
        if right {
            self.lock().insert(user, digest);
        }
        right
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, [u8; 32]>> {
        // No code that can panic runs while it is held.
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers those who may, and tells the others why not.
pub(super) async fn guard(
    State(access): State<Arc<Access>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if !access.admits(peer.ip()) {
        let text = format!("{} is not in the daemon's metrics-allow\n", peer.ip());
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let Some(web) = access.web.as_ref().map(WebConfig::current) else { return next.run(request).await };
    let admitted = web.users.is_empty()
        || match credentials(request.headers()) {
            Some((user, password)) => {
                let hash = web.users.get(&user).cloned();
                access.is_right(user, password, hash).await
            }
            None => false,
        };
    let mut response = if admitted {
        next.run(request).await
    } else {
        let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"Beeline\", charset=\"UTF-8\"")];
        let text = "a user of the web configuration and the password are needed\n";
        (StatusCode::UNAUTHORIZED, challenge, text).into_response()
    };
    response.headers_mut().extend(web.headers.clone());
    response
}

/// Name and password of `Authorization: Basic`.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(allow: &[&str]) -> Access {
        Access::new(allow.iter().map(|net| net.parse().unwrap()).collect(), None)
    }

    #[test]
    fn a_list_admits_its_subnets_of_both_families_and_no_list_everybody() {
        let listed = access(&["192.0.2.0/24", "2001:db8::/32"]);
        for (source, admitted) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("2001:db8::7", true),
            ("127.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(listed.admits(source.parse().unwrap()), admitted, "{source}");
        }
        assert!(access(&[]).admits("203.0.113.9".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_user_alone_and_is_hashed_once() {
        let access = access(&[]);
        let hash = bcrypt::hash("swordfish", 4).unwrap();
        let ask = |user: &str, password: &str, hash: Option<&String>| {
            access.is_right(user.to_owned(), password.to_owned(), hash.cloned())
        };
        assert!(!ask("eve", "sword", Some(&hash)).await);
        assert!(!ask("adam", "swordfish", None).await, "a user who does not exist");
        assert!(access.lock().is_empty());
        assert!(ask("eve", "swordfish", Some(&hash)).await);
        assert!(access.lock().contains_key("eve"));
        assert!(ask("eve", "swordfish", Some(&hash)).await);
        assert!(!ask("eve", "sword", Some(&hash)).await);
        // What was right under the old hash is nothing under the new one.
        let changed = bcrypt::hash("trout", 4).unwrap();
        assert!(!ask("eve", "swordfish", Some(&changed)).await);
        assert!(bcrypt::verify("", NOBODY).is_ok(), "the hash to compare with is one");
    }

    #[test]
    fn credentials_may_hold_colons_and_must_be_basic() {
        let read =
            |value: &str| credentials(&HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]));
        let encoded = STANDARD.encode("eve:sword:fish");
        assert_eq!(read(&format!("basic {encoded}")), Some(("eve".into(), "sword:fish".into())));
        assert_eq!(read(&format!("Bearer {encoded}")), None);
        assert_eq!(read("Basic eve"), None);
    }
}

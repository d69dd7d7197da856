//! Passwords, sessions and tokens.
//!
//! A token is a signed, short-lived statement that a session exists; the session is looked up with
//! each request, so ending it ends its tokens at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use async_trait::async_trait;
use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use jwt_compact::{
    AlgorithmExt as _, Claims, Header, TimeOptions, UntrustedToken,
    alg::{Hs256, Hs256Key},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::{
    auth::Caller,
    error::{ApiError, ApiResult},
};
use crate::{
    clock::Clock,
    domain::{
        Timestamp,
        access::{Role, Session, User},
        ids::{AttemptId, SessionId, TenantId, UserId},
    },
    realtime::Doorkeeper,
    store::{Store, StoreResult},
};

/// How long a session lasts from signing in.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The longest e-mail address there can be.
const MAX_EMAIL: usize = 254;

/// How many passwords may be tried for an address in [`TRIES_WITHIN`] before a right one.
const MAX_TRIES: usize = 10;
const TRIES_WITHIN: Duration = Duration::from_secs(300);

/// How many addresses are remembered for that; beyond it the oldest are forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// How many passwords are hashed at once: each takes a processor and 19 MiB for a moment.
const HASHES_AT_ONCE: usize = 2;

/// Signs users in, and checks what they bring.
pub struct Access {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    key: Hs256Key,
    media_key: Vec<u8>,
    hashing: Semaphore,
    tries: Mutex<BTreeMap<String, Vec<Timestamp>>>,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    /// The session's id.
    sid: String,
    /// The tenant's id.
    ten: String,
}

/// The first user, as told to whoever starts the server.
#[derive(Debug)]
pub struct FirstUser {
    /// Where to sign in as.
    pub email: String,
    /// The generated password, to be shown once; none when it came from the configuration.
    pub generated_password: Option<String>,
}

impl Access {
    /// `secret` signs tokens; it must be the same on every node.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        Self {
            store,
            clock,
            key: Hs256Key::new(derive(secret, b"session tokens")),
            media_key: derive(secret, b"media tokens"),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            tries: Mutex::default(),
        }
    }

    /// Creates the first user, an owner of the default tenant, unless there is a user.
    pub async fn ensure_first_user(
        &self,
        email: &str,
        password: Option<&SecretString>,
    ) -> anyhow::Result<Option<FirstUser>> {
        if self.store.count_users().await? > 0 {
            return Ok(None);
        }
        let generated = password.is_none().then(random_password);
        let text = match (password, &generated) {
            (Some(password), _) => password.expose_secret().to_owned(),
            (None, Some(generated)) => generated.clone(),
            (None, None) => unreachable!("a password is given or generated"),
        };
        let user = User {
            id: UserId::new(self.clock.new_uuid()),
            tenant: TenantId::DEFAULT,
            email: email.to_lowercase(),
            password_hash: self.hash(text).await?,
            role: Role::Owner,
            created_at: self.clock.now(),
        };
        self.store.insert_user(&user).await?;
        info!(user_id = %user.id, "first user created");
        Ok(Some(FirstUser {
            email: user.email,
            generated_password: generated,
        }))
    }

    async fn hash(&self, password: String) -> anyhow::Result<String> {
        let _permit = self.hashing.acquire().await?;
        let hash = tokio::task::spawn_blocking(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
        });
        hash.await?
            .map_err(|error| anyhow::anyhow!("password could not be hashed: {error}"))
    }

    /// Whether `password` is the one that was hashed.
    async fn matches(&self, password: String, hash: String) -> bool {
        let Ok(_permit) = self.hashing.acquire().await else {
            return false;
        };
        let checked = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
        });
        checked.await.unwrap_or(false)
    }

    /// Checks a password and begins a session.
    pub async fn sign_in(&self, email: &str, password: String) -> ApiResult<(Session, User)> {
        let email = email.trim().to_lowercase();
        let now = self.clock.now();
        let wrong = || {
            let detail = "the e-mail address or the password is wrong";
            ApiError::new(StatusCode::UNAUTHORIZED, "badCredentials", detail)
        };
        if email.len() > MAX_EMAIL {
            return Err(wrong());
        }
        // Counted before the password is looked at, so that tries at the same time count too.
        if !self.count_try(&email, now) {
            let detail = "too many wrong passwords for this address; wait five minutes";
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "tooManyAttempts",
                detail,
            ));
        }
        let user = self.store.find_user_by_email(&email).await?;
        // An unknown address takes as long as a wrong password, so that neither can be told apart.
        let hash = user
            .as_ref()
            .map_or_else(decoy_hash, |user| user.password_hash.clone());
        let is_right = self.matches(password, hash).await;
        let Some(user) = user.filter(|_| is_right) else {
            warn!("sign-in refused");
            return Err(wrong());
        };
        self.tries().remove(&email);
        let session = Session {
            id: SessionId::new(self.clock.new_uuid()),
            tenant: user.tenant,
            user: user.id,
            role: user.role,
            expires_at: now + SESSION,
        };
        self.store.insert_session(&session).await?;
        info!(user_id = %user.id, session_id = %session.id, "signed in");
        Ok((session, user))
    }

    /// The token of a session.
    pub fn token(&self, session: &Session) -> String {
        let ticket = Ticket {
            sid: session.id.to_string(),
            ten: session.tenant.to_string(),
        };
        let mut claims = Claims::new(ticket);
        claims.expiration = chrono::DateTime::from_timestamp(session.expires_at.as_second(), 0);
        Hs256
            .token(&Header::empty(), &claims, &self.key)
            .expect("a ticket of two texts can be serialized")
    }

    /// Whose token that is, if its session is still good.
    pub async fn caller(&self, token: &str) -> StoreResult<Option<Caller>> {
        let Some((tenant, id)) = self.read_token(token) else {
            return Ok(None);
        };
        let session = self.store.find_session(tenant, id).await?;
        let now = self.clock.now();
        Ok(session
            .filter(|session| session.expires_at > now)
            .map(|session| Caller {
                tenant,
                user: session.user,
                session: id,
                role: session.role,
            }))
    }

    fn read_token(&self, token: &str) -> Option<(TenantId, SessionId)> {
        let untrusted = UntrustedToken::new(token).ok()?;
        let token = Hs256
            .validator::<Ticket>(&self.key)
            .validate(&untrusted)
            .ok()?;
        let now = self.clock.now().as_second();
        let options = TimeOptions::new(chrono::Duration::zero(), move || {
            chrono::DateTime::from_timestamp(now, 0).unwrap_or_default()
        });
        let claims = token.claims().validate_expiration(&options).ok()?;
        Some((
            claims.custom.ten.parse().ok()?,
            claims.custom.sid.parse().ok()?,
        ))
    }

    /// What a media stream of that attempt must bring: known to nobody who has not seen the answer
    /// to the carrier's request.
    pub fn media_token(&self, attempt: AttemptId) -> String {
        let tag = mac(&self.media_key, attempt.to_string().as_bytes())
            .finalize()
            .into_bytes();
        tag.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `token` is that attempt's, compared in constant time.
    pub fn is_media_token(&self, attempt: AttemptId, token: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.media_token(attempt)
            .as_bytes()
            .ct_eq(token.as_bytes())
            .into()
    }

    /// Counts a try for an address; false when there were too many lately.
    fn count_try(&self, email: &str, now: Timestamp) -> bool {
        let mut tries = self.tries();
        if tries.len() >= MAX_REMEMBERED && !tries.contains_key(email) {
            tries.retain(|_, times| times.iter().any(|at| *at + TRIES_WITHIN > now));
            let oldest = tries.iter().min_by_key(|(_, times)| times.last().copied());
            if let Some(oldest) = oldest.map(|(email, _)| email.clone())
                && tries.len() >= MAX_REMEMBERED
            {
                tries.remove(&oldest);
            }
        }
        let times = tries.entry(email.to_owned()).or_default();
        times.retain(|at| *at + TRIES_WITHIN > now);
        if times.len() >= MAX_TRIES {
            return false;
        }
        times.push(now);
        true
    }

    fn tries(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<Timestamp>>> {
        self.tries
            .lock()
            .expect("no code panics while it holds the tries")
    }
}

fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(text);
    mac
}

/// A key for one purpose, so that what is signed for one is worth nothing for another.
pub(super) fn derive(secret: &[u8], purpose: &[u8]) -> Vec<u8> {
    mac(secret, purpose).finalize().into_bytes().to_vec()
}

/// Twenty characters that are easy to read aloud: 99 random bits.
fn random_password() -> String {
    const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..20)
        .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
        .collect()
}

/// The hash of nobody's password, with the usual parameters.
fn decoy_hash() -> String {
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
     R2XkV5JUh3XHfIyrvDWZFuoqmcXO2yGRmsH9SoLYSko"
        .to_owned()
}

#[async_trait]
impl Doorkeeper for Access {
    async fn admit(&self, token: &str) -> Option<TenantId> {
        match self.caller(token).await {
            Ok(caller) => caller.map(|caller| caller.tenant),
            Err(error) => {
                warn!(%error, "listener refused, because the store did not answer");
                None
            }
        }
    }
}

//! Whether the records are this deployment's own (F-95).
//!
//! A copied database knows campaigns that the original is dialing, and a restored backup does not know
//! whom was called since. Neither may dial by itself: everything that would is paused, and an operator
//! who has looked resumes it. What the records are compared with is kept outside of them: an identity,
//! and the time at which this deployment last wrote into them.

use std::time::Duration;

use tracing::{error, warn};

use super::{Core, Engine, EngineResult, reconcile};
use crate::{
    domain::{
        Timestamp,
        campaign::{Brake, Campaign, PauseReason},
        ids::TenantId,
    },
    store::Deployment,
};

/// How far the records may be behind what was noted outside of them: several processes write the
/// time, and the last one to write need not be the latest.
const TOLERANCE: Duration = Duration::from_secs(180);

/// Whose the records turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// Nobody's yet.
    New,
    /// This deployment's, as it left them.
    Own,
    /// Another deployment's.
    Copied {
        /// The other's identity.
        from: String,
    },
    /// This deployment's, but of an earlier time.
    Restored {
        /// When they were last written.
        last_written: Timestamp,
    },
}

impl Adoption {
    /// Whose records of `kept` are for the deployment `identity`, which last wrote at `noted`.
    pub fn of(kept: Option<&Deployment>, identity: &str, noted: Option<Timestamp>) -> Self {
        let Some(kept) = kept else {
            return Self::New;
        };
        if kept.identity != identity {
            return Self::Copied {
                from: kept.identity.clone(),
            };
        }
        match noted {
            Some(noted) if kept.beat_at + TOLERANCE < noted => Self::Restored {
                last_written: kept.beat_at,
            },
            _ => Self::Own,
        }
    }

    /// Why everything stands still, in words for an operator; none when nothing has to.
    pub fn objection(&self) -> Option<String> {
        match self {
            Self::New | Self::Own => None,
            Self::Copied { from } => Some(format!(
                "these records were copied from the deployment at {from}; resume here only what \
                 does not run there any more"
            )),
            Self::Restored { last_written } => Some(format!(
                "these records were restored from a backup and end at {last_written}; whoever was \
                 called after that would be called again"
            )),
        }
    }
}

impl Engine {
    /// Takes the records into use for the deployment `identity`, which noted at `noted` that it wrote
    /// into them. Called before [`Engine::run`], so that nothing is dialed before.
    pub async fn adopt(&self, identity: &str, noted: Option<Timestamp>) -> EngineResult<Adoption> {
        let core = &self.core;
        let kept = core.store.deployment().await?;
        let adoption = Adoption::of(kept.as_ref(), identity, noted);
        if let Some(objection) = adoption.objection() {
            error!(objection, "every campaign that would dial is paused");
            core.pause_everything(&objection).await?;
        }
        let adopted = adopted(kept, &adoption, identity, core.now());
        core.store.save_deployment(&adopted).await?;
        if adopted.calls_missing_since.is_some() {
            core.keep("reconcile", reconcile::run);
        }
        Ok(adoption)
    }

    /// Notes in the records that this deployment still writes into them; gives the time noted.
    pub async fn beat(&self) -> EngineResult<Timestamp> {
        let now = self.core.now();
        let Some(kept) = self.core.store.deployment().await? else {
            warn!("the records do not say whose they are");
            return Ok(now);
        };
        let beat_at = now.max(kept.beat_at);
        self.core
            .store
            .save_deployment(&Deployment { beat_at, ..kept })
            .await?;
        Ok(beat_at)
    }
}

/// What is noted in records of `kept` when they are taken into use at `now`.
fn adopted(
    kept: Option<Deployment>,
    adoption: &Adoption,
    identity: &str,
    now: Timestamp,
) -> Deployment {
    let since = match (adoption, &kept) {
        (Adoption::Own, Some(kept)) => kept.since,
        _ => now,
    };
    let calls_missing_since = kept.and_then(|kept| {
        let ends_at = adoption.objection().map(|_| kept.beat_at);
        kept.calls_missing_since.or(ends_at)
    });
    Deployment {
        identity: identity.to_owned(),
        since,
        beat_at: now,
        calls_missing_since,
    }
}

impl Core {
    async fn pause_everything(&self, objection: &str) -> EngineResult<()> {
        for tenant in self.store.list_tenants().await? {
            for campaign in self.would_dial(tenant).await? {
                let reason = PauseReason::Brake {
                    brake: Brake::Restored,
                    detail: objection.to_owned(),
                };
                let pause = |current: &Campaign| Ok(current.paused_for(reason.clone(), self.now()));
                self.change_campaign(tenant, campaign.id, pause).await?;
            }
        }
        Ok(())
    }

    /// The tenant's campaigns that dial, or will by themselves.
    async fn would_dial(&self, tenant: TenantId) -> EngineResult<Vec<Campaign>> {
        let mut campaigns = self.store.active_campaigns(tenant).await?;
        campaigns.extend(self.store.scheduled_campaigns(tenant).await?);
        Ok(campaigns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn kept(identity: &str, beat_at: Timestamp) -> Deployment {
        Deployment {
            identity: identity.to_owned(),
            since: NOON,
            beat_at,
            calls_missing_since: None,
        }
    }

    // proves F-95
    #[test]
    fn a_copy_and_an_old_backup_are_told_from_ones_own_records() {
        let own = kept("https://a.example", NOON);
        let adopt = |identity, noted| Adoption::of(Some(&own), identity, noted);
        assert_eq!(
            Adoption::of(None, "https://a.example", Some(NOON)),
            Adoption::New
        );
        assert_eq!(adopt("https://a.example", None), Adoption::Own);
        assert_eq!(
            adopt("https://a.example", Some(NOON + TOLERANCE)),
            Adoption::Own
        );
        let later = NOON + TOLERANCE + Duration::from_secs(1);
        assert_eq!(
            adopt("https://a.example", Some(later)),
            Adoption::Restored { last_written: NOON }
        );
        assert_eq!(
            adopt("https://b.example", Some(NOON)),
            Adoption::Copied {
                from: "https://a.example".to_owned()
            }
        );
    }

    #[test]
    fn only_a_copy_and_an_old_backup_are_objected_to() {
        let copied = Adoption::Copied {
            from: "https://a.example".to_owned(),
        };
        assert!(
            copied
                .objection()
                .is_some_and(|text| text.contains("https://a.example"))
        );
        assert!(
            Adoption::Restored { last_written: NOON }
                .objection()
                .is_some()
        );
        assert_eq!(
            (Adoption::New.objection(), Adoption::Own.objection()),
            (None, None)
        );
    }

    // proves F-95
    #[test]
    fn calls_are_missing_from_the_last_write_until_they_are_on_record() {
        let later = NOON + TOLERANCE * 10;
        let missing = |adoption: &Adoption, kept: Option<Deployment>| {
            adopted(kept, adoption, "one", later).calls_missing_since
        };
        let restored = Adoption::Restored { last_written: NOON };
        assert_eq!(missing(&restored, Some(kept("one", NOON))), Some(NOON));
        assert_eq!(missing(&Adoption::Own, Some(kept("one", NOON))), None);
        assert_eq!(missing(&Adoption::New, None), None);
        // A restart before the carrier has answered.
        let unknown = Deployment {
            calls_missing_since: Some(NOON),
            ..kept("one", later)
        };
        assert_eq!(missing(&Adoption::Own, Some(unknown)), Some(NOON));
    }
}

//! Who a campaign is for, and the lists that say so.

use super::{
    Timestamp,
    consent::Consent,
    contact::Fields,
    ids::{CampaignId, ContactId, EnrollmentId, ImportId, PlaceKey, TenantId},
    phone::PhoneNumber,
    zone::Zone,
};

/// A person about to be enrolled: one accepted row of a list, or one entry of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where the person is called.
    pub phone: PhoneNumber,
    /// As the list wrote it.
    pub name: Option<String>,
    /// The list's other columns, by field name.
    pub fields: Fields,
    /// Where the person is written to, lower case.
    pub email: Option<String>,
    /// The time zone that the list states.
    pub zone: Option<Zone>,
    /// What the list says of the person's consent to being called.
    pub consent: Option<Consent>,
}

/// A member with the identifiers to use where the person and the enrollment are new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEnrollment {
    /// The enrollment's id.
    pub id: EnrollmentId,
    /// The contact's id, unless the address book already has this number.
    pub contact: ContactId,
    /// Where the person is, as far as the rules are concerned.
    pub place: PlaceKey,
    /// Who.
    pub member: Member,
}

/// One uploaded list and what became of its rows: `n_rows` is the sum of the other three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Ours.
    pub id: ImportId,
    /// Whose.
    pub tenant: TenantId,
    /// Into which campaign.
    pub campaign: CampaignId,
    /// As the uploader called it.
    pub file_name: String,
    /// Where the work stands.
    pub status: ImportStatus,
    /// Rows read, the header not counted.
    pub n_rows: u64,
    /// Rows that became enrollments.
    pub n_accepted: u64,
    /// Rows whose number the file or the campaign already had.
    pub n_duplicates: u64,
    /// Rows that could not be used.
    pub n_rejected: u64,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Where an import stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportStatus {
    /// Rows are being read.
    Running,
    /// Every row was read.
    Finished,
    /// The file could not be read to its end; rows before that are kept.
    Failed {
        /// Why, in words for the uploader.
        reason: String,
    },
}

impl ImportStatus {
    /// The status's name in the API and in stores.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A row that did not become an enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// A stable name for the reason, such as `phoneInvalid` or `duplicateInFile`.
    pub code: String,
    /// The reason in words for the uploader.
    pub reason: String,
    /// The header of the column at fault, where there is one.
    pub column: Option<String>,
    /// The row's cells as they were read.
    pub cells: Vec<String>,
}

impl RejectedRow {
    /// The code of a row whose number an earlier row of the file has.
    pub const DUPLICATE_IN_FILE: &'static str = "duplicateInFile";
    /// The code of a row whose number the campaign already has.
    pub const DUPLICATE_IN_CAMPAIGN: &'static str = "duplicateInCampaign";
}

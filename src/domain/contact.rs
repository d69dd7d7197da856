//! People in a tenant's address book.

use std::collections::BTreeMap;

use super::{
    Timestamp,
    ids::{ContactId, TenantId},
    phone::PhoneNumber,
};

/// What else is known of a person: field name as [`super::text::field_name`] writes it, and value.
pub type Fields = BTreeMap<String, String>;

/// A person in the address book; unique by tenant and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Ours.
    pub id: ContactId,
    /// Whose address book.
    pub tenant: TenantId,
    /// Where the person is called.
    pub phone: PhoneNumber,
    /// As the list wrote it.
    pub name: Option<String>,
    /// The list's other columns.
    pub fields: Fields,
    /// When the person was first seen.
    pub created_at: Timestamp,
}

//! How members of a group are named, and how their lives are counted.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{name::GROUP_ID_BYTES_MAX, offset::number};

/// Longest member or instance id in bytes.
pub const MEMBER_ID_BYTES_MAX: usize = GROUP_ID_BYTES_MAX;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `id` and keeps it.
            ///
            /// # Errors
            /// [`InvalidMemberId`] where it is empty, longer than [`MEMBER_ID_BYTES_MAX`] bytes, or
            /// has control characters.
            pub fn parse(id: &str) -> Result<Self, InvalidMemberId> {
                if id.is_empty() || id.len() > MEMBER_ID_BYTES_MAX || id.contains(char::is_control) {
                    return Err(InvalidMemberId {
                        id: id.chars().take(300).collect(),
                    });
                }
                Ok(Self(id.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidMemberId;

            fn from_str(id: &str) -> Result<Self, Self::Err> {
                Self::parse(id)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidMemberId;

            fn try_from(id: String) -> Result<Self, Self::Error> {
                Self::parse(&id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().into()
            }
        }
    };
}

text_id! {
    /// One life of one consumer, named by itself: 1 to 255 bytes of UTF-8 without control characters.
    MemberId
}
text_id! {
    /// What makes a member static: a name that its next life has too, so that it gets back what it
    /// had (KIP-345). The same rule as for a [`MemberId`].
    InstanceId
}

impl MemberId {
    /// An id that nobody else has (UUID version 4).
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }
}

/// Why a string is not the id of a member or of an instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{id:?} is not a member's id: use 1 to {MEMBER_ID_BYTES_MAX} bytes of text without control characters"
)]
pub struct InvalidMemberId {
    /// What was given, cut to 300 characters.
    pub id: String,
}

number! {
    /// Which assignment of its group a member has come to (KIP-848). The group's own epoch is the
    /// assignment that all its members are to come to. It never goes back in the life of a group.
    MemberEpoch(i32)
}

impl MemberEpoch {
    /// In a request: the member joins.
    pub const JOIN: Self = Self(0);
    /// In a request: the member leaves for good.
    pub const LEAVE: Self = Self(-1);
    /// In a request: the static member leaves and will be back, so what it has is kept for it until
    /// its session times out.
    pub const LEAVE_STATIC: Self = Self(-2);

    /// The next one.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

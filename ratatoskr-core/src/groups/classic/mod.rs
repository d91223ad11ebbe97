//! Groups whose members assign partitions among themselves: Kafka's classic protocol.
//!
//! ```text
//!           joins                     all have joined, or time is up          the leader assigns
//!   Empty ────────▶ PreparingRebalance ────────────────────────────▶ CompletingRebalance ────────▶ Stable
//!     ▲                  │  ▲  ▲                                            │                        │
//!     └── nobody is left ┘  │  └──── joins, leaves, is silent, or does ─────┘                        │
//!                           └─────── not fetch what it was assigned ─────────────────────────────────┘
//! ```
//! Each time around is a generation. One member, the leader, is told what all of them want, and says
//! what each of them gets; to the group both are bytes.
//!
//! What lasts is the newest generation that was assigned (`generation.rs`): it is kept when the leader
//! has assigned, when a static member takes its earlier life's place in it, and when the last member
//! is gone. Who is joining, who waits and who was heard of when (`live.rs`) is volatile: after a
//! restart all members of that generation are there, as if they had just been heard of.
//!
//! ```text
//! join.rs   join        member.rs   fetch the assignment, stay, leave, commit
//! turn.rs   what follows from that, and from time passing
//! subscription.rs   what members write in their bytes, where they are Kafka's consumers
//! ```

mod generation;
mod join;
mod live;
mod member;
mod opaque;
mod request;
mod subscription;
mod turn;

pub use request::{
    ClassicDescription, ClassicMemberDescription, Committer, JoinAnswer, JoinGroup, JoinedGroup,
    JoinedMember, SyncGroup, SyncedGroup,
};

pub(crate) use generation::Generation;
pub(crate) use join::Joining;
#[cfg(test)]
pub(super) use join::Ticket;
pub(super) use live::Live;
pub(crate) use member::{Syncing, said};

/// The protocol type of Kafka's consumers, whose bytes are understood here for people's sake.
const CONSUMER: &str = "consumer";

//! What a frame is: one byte, never reused.
//!
//! A request has a code below `0x80`; its response has the same code with the top bit set. Frames
//! that nobody asked for (`goodbye`, `deliver`) have a code below `0x80` too and no response.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal),* $(,)?) => {
        /// A kind of frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name = $code),*
        }

        impl Kind {
            /// Every kind, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind with this code; the bit that marks a response is not part of it.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that documents and logs use.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),*
                }
            }
        }
    };
}

kinds! {
    /// Opens a connection: versions offered, version picked.
    Hello = 0x01 "hello",
    /// Asks whether the peer is there.
    Ping = 0x02 "ping",
    /// The sender takes no further request on this connection.
    Goodbye = 0x03 "goodbye",
    /// Creates a topic.
    CreateTopic = 0x10 "create topic",
    /// Deletes a topic with its records.
    DeleteTopic = 0x11 "delete topic",
    /// Lists the topics.
    ListTopics = 0x12 "list topics",
    /// Describes one topic and its partitions.
    DescribeTopic = 0x13 "describe topic",
    /// Changes a topic's configuration.
    AlterTopic = 0x14 "alter topic",
    /// Gives a topic more partitions.
    AddPartitions = 0x15 "add partitions",
    /// Moves a partition's log start.
    Trim = 0x16 "trim",
    /// Appends a record batch.
    Produce = 0x20 "produce",
    /// Hands out a producer id.
    NewProducer = 0x21 "new producer",
    /// Reads batches, waiting for them if need be.
    Fetch = 0x30 "fetch",
    /// Finds an offset by place or time.
    FindOffset = 0x31 "find offset",
    /// Asks for batches to be pushed under credit.
    Subscribe = 0x40 "subscribe",
    /// Grants more credit to a subscription.
    Credit = 0x41 "credit",
    /// Batches of a subscription.
    Deliver = 0x42 "deliver",
    /// Ends a subscription.
    Unsubscribe = 0x43 "unsubscribe",
    /// Counters of the broker.
    Stats = 0x50 "stats",
    /// A member of a consumer group joins, shows that it is there, or leaves.
    GroupHeartbeat = 0x60 "group heartbeat",
    /// Commits offsets of a group.
    CommitOffsets = 0x61 "commit offsets",
    /// Asks for a group's committed offsets.
    FetchOffsets = 0x62 "fetch offsets",
    /// Forgets committed offsets.
    DeleteOffsets = 0x63 "delete offsets",
    /// Lists the consumer groups.
    ListGroups = 0x64 "list groups",
    /// Describes one group and its members.
    DescribeGroup = 0x65 "describe group",
    /// Deletes a group with its offsets.
    DeleteGroup = 0x66 "delete group",
    /// Asks how far a group is behind.
    GroupLag = 0x67 "group lag",
    /// Sets where a group goes on.
    ResetOffsets = 0x68 "reset offsets",
    /// Takes records of a queue, waiting for them if need be.
    QueueAcquire = 0x70 "queue acquire",
    /// Says what becomes of records taken of a queue.
    QueueSettle = 0x71 "queue settle",
    /// Gives back all that a consumer holds.
    QueueLeave = 0x72 "queue leave",
    /// Creates a queue group.
    CreateQueue = 0x73 "create queue",
    /// Changes a queue group's configuration.
    AlterQueue = 0x74 "alter queue",
    /// Deletes a queue group.
    DeleteQueue = 0x75 "delete queue",
    /// Describes one queue group.
    DescribeQueue = 0x76 "describe queue",
    /// Lists the queue groups.
    ListQueues = 0x77 "list queues",
    /// Looks at records that a queue group is not done with.
    PeekQueue = 0x78 "peek queue",
    /// Lists the topics that hold dead letters.
    ListDeadLetterTopics = 0x79 "list dead-letter topics",
    /// Looks at dead letters.
    BrowseDeadLetters = 0x7a "browse dead letters",
    /// Sends dead letters back to where they were.
    RedriveDeadLetters = 0x7b "redrive dead letters",
    /// Gives dead letters up for good.
    DiscardDeadLetters = 0x7c "discard dead letters",
    /// Something went wrong, with one request or with the connection.
    Error = 0x7f "error",
}

/// The bit of a kind's byte that marks a response.
pub(super) const RESPONSE: u8 = 0x80;

impl Kind {
    /// The code of a frame of this kind.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The code of the response to a frame of this kind.
    pub const fn response_code(self) -> u8 {
        self.code() | RESPONSE
    }
}

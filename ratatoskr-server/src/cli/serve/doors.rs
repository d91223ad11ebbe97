//! The doors of a broker: their ports are taken before its data is opened, and they serve after.

use std::net::SocketAddr;

#[cfg(feature = "kafka")]
use ratatoskr_server::kafka::{self, KafkaAdmissions, KafkaLimits, Node};
use ratatoskr_server::native::{self, NativeLimits};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::store::Store;
use crate::{
    cli::exit::{Exit, Failure, Outcome},
    config::Settings,
};

/// A port that is taken.
pub(super) struct Listening {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

/// The ports of all doors.
pub(super) struct Doors {
    pub(super) native: Listening,
    #[cfg(feature = "kafka")]
    kafka: Option<Listening>,
}

/// Where a listener's address comes from, by the setting and the flag that name it.
struct Place {
    wanted: SocketAddr,
    setting: &'static str,
    flag: &'static str,
}

fn places(settings: &Settings) -> Vec<Place> {
    let native = Place {
        wanted: settings.native_listen,
        setting: "native.listen",
        flag: "--native-listen",
    };
    #[cfg(feature = "kafka")]
    let kafka = settings.kafka.listen.map(|wanted| Place {
        wanted,
        setting: "kafka.listen",
        flag: "--kafka-listen",
    });
    #[cfg(not(feature = "kafka"))]
    let kafka = None;
    std::iter::once(native).chain(kafka).collect()
}

/// Nobody has to log in yet, so only this machine may reach the broker unless somebody insists.
pub(super) fn refuse_strangers(settings: &Settings) -> Outcome {
    if settings.insecure {
        return Ok(());
    }
    let mut places = places(settings).into_iter();
    let Some(open) = places.find(|place| !place.wanted.ip().is_loopback()) else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "{} = {} would let anybody on the network read and write everything",
        open.setting, open.wanted
    ))
    .because("nobody has to log in, and the address is not a loopback address")
    .next("127.0.0.1, or --insecure if the network is to be trusted"))
}

impl Doors {
    /// Takes the port of each door.
    ///
    /// # Errors
    /// One of them is taken, or may not be.
    pub(super) async fn listen(settings: &Settings) -> Outcome<Self> {
        let mut listening = Vec::new();
        for place in places(settings) {
            listening.push(place.listen().await?);
        }
        let mut listening = listening.into_iter();
        let native = listening.next();
        Ok(Self {
            native: native.unwrap_or_else(|| unreachable!("there is always a native door")),
            #[cfg(feature = "kafka")]
            kafka: listening.next(),
        })
    }

    /// Where Kafka clients are served, if they are.
    pub(super) fn kafka_address(&self) -> Option<SocketAddr> {
        #[cfg(feature = "kafka")]
        return self.kafka.as_ref().map(|kafka| kafka.address);
        #[cfg(not(feature = "kafka"))]
        None
    }

    /// Lets clients in.
    pub(super) fn open(self, settings: &Settings, store: &Store) -> Open {
        let (close, closed) = watch::channel(());
        let until_closed = || {
            let mut closed = closed.clone();
            async move {
                // An error means that the doors are to close.
                while closed.changed().await.is_ok() {}
            }
        };
        let limits = NativeLimits {
            connections_max: settings.connections_max,
            connections_per_address_max: settings.connections_per_address_max,
            drain_deadline: settings.shutdown_grace,
            ..NativeLimits::default()
        };
        let native = self.native.listener;
        let broker = store.broker.clone();
        let serving = native::serve(native, broker, limits, until_closed());
        #[cfg_attr(not(feature = "kafka"), expect(unused_mut, reason = "one door only"))]
        let mut tasks = vec![("native", tokio::spawn(serving))];
        #[cfg(feature = "kafka")]
        if let Some(kafka) = self.kafka {
            let broker = store.broker.clone();
            let (limits, admissions) = kafka_limits(settings);
            let node = kafka_node(settings, store);
            let serving = kafka::serve(
                kafka.listener,
                broker,
                node,
                limits,
                admissions,
                until_closed(),
            );
            tasks.push(("Kafka", tokio::spawn(serving)));
        }
        Open { close, tasks }
    }
}

#[cfg(feature = "kafka")]
fn kafka_limits(settings: &Settings) -> (KafkaLimits, KafkaAdmissions) {
    let limits = KafkaLimits {
        request_bytes_max: settings.kafka.request_bytes_max,
        ..KafkaLimits::default()
    };
    let admissions = KafkaAdmissions {
        connections_max: settings.kafka.connections_max,
        connections_per_address_max: settings.kafka.connections_per_address_max,
        drain_deadline: settings.shutdown_grace,
    };
    (limits, admissions)
}

#[cfg(feature = "kafka")]
fn kafka_node(settings: &Settings, store: &Store) -> Node {
    let mut node = Node::new(Node::cluster_id_of(&store.id()));
    node.advertised.clone_from(&settings.kafka.advertised);
    node.log_dir = if settings.memory {
        "memory".to_owned()
    } else {
        settings.data_dir.display().to_string()
    };
    node
}

/// Doors that serve.
pub(super) struct Open {
    close: watch::Sender<()>,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Open {
    /// Lets nobody in any more, and waits until those inside have gone.
    ///
    /// # Errors
    /// A door panicked.
    pub(super) async fn close(self) -> Outcome {
        drop(self.close);
        for (name, task) in self.tasks {
            task.await.map_err(|error| {
                Failure::new(Exit::Failure, format!("the {name} door failed")).because(error)
            })?;
        }
        Ok(())
    }
}

impl Place {
    async fn listen(&self) -> Outcome<Listening> {
        let Self {
            wanted,
            setting,
            flag,
        } = self;
        let refused = |error: std::io::Error| {
            let exit = match error.kind() {
                std::io::ErrorKind::AddrInUse => Exit::Conflict,
                _ => Exit::Failure,
            };
            Failure::new(exit, format!("cannot listen on {wanted} ({setting})"))
                .because(error)
                .next(format!("ratatoskr serve {flag} {}:0", wanted.ip()))
        };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Listening { listener, address })
    }
}

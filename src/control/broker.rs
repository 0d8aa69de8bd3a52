//! The Kafka listener of a node with a log of its own: what each core's broker is made from.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use crate::broker::admin::CoreEnd;
use crate::broker::coordinate::Coordination;
use crate::broker::coordinator::group::{GroupOptions, Groups};
use crate::broker::coordinator::txn::{Transactions, TxnOptions};
use crate::broker::core::{Broker, BrokerParts, COORDINATOR};
use crate::broker::desk::{Desk, DeskOptions};
use crate::broker::inlet::Inlet;
use crate::broker::listen::{self, Entrance, House};
use crate::broker::message::{Ask, Tell};
use crate::broker::options::{AutoCreate, BrokerOptions};
use crate::broker::sasl::{ITERATIONS_MIN, Mechanism, Users};
use crate::broker::tls::{TlsAcceptor, TlsOptions};
use crate::broker::view::{Endpoint, View};
use crate::config::{BrokerConfig, Config};
use crate::engine::gateway::LocalEvent;
use crate::engine::route::RouteTable;
use crate::ids::{CoreId, PartitionId, ShardId, TopicId};
use crate::log::disk::Disk;
use crate::log::storage::LogStorage;
use crate::log::stripe::TopicRetention;
use crate::mesh::{self, Bells, EndpointId, Port};

use super::embedded::Administered;
use super::error::StartError;
use super::executor::GuestSeed;
use super::places::Places;

/// How long a request waits for space on the device before it is told that there is none.
const STORAGE_PATIENCE_NS: u64 = 1_000_000_000;

/// Rings between two cores hold so many questions or answers.
const RING: usize = 1024;

/// What all cores' brokers are made from.
pub(super) struct Brokers {
    options: BrokerOptions,
    entrances: Vec<Entrance>,
    users: Option<Arc<Users>>,
    groups: GroupOptions,
    transactions: TxnOptions,
    rings: Vec<(Port<Ask>, Port<Tell>)>,
    table: Arc<RouteTable>,
    dead_letters: Arc<BTreeMap<ShardId, TopicId>>,
    payload_bytes_max: usize,
}

/// Where clients come in, and who may.
pub(super) struct Doors {
    entrances: Vec<Entrance>,
    users: Option<Arc<Users>>,
}

impl Doors {
    /// Reads certificates, salts passwords, and finds the ports to listen on.
    pub fn new(config: &Config) -> Result<Doors, StartError> {
        Ok(Doors {
            entrances: entrances(&config.broker)?,
            users: users(&config.broker)?,
        })
    }

    /// The addresses to listen on, with the numbers of ports that were left open.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let each = self.entrances.iter();
        each.map(|entrance| entrance.address).collect()
    }
}

/// What one core's broker is made from.
pub(super) struct BrokerSeed {
    options: BrokerOptions,
    entrances: Vec<Entrance>,
    users: Option<Arc<Users>>,
    coordinators: Option<(GroupOptions, TxnOptions)>,
    rings: (Port<Ask>, Port<Tell>),
    admin: CoreEnd,
    view: Arc<View>,
    retentions: Arc<[(PartitionId, TopicRetention)]>,
    table: Arc<RouteTable>,
    dead_letters: Arc<BTreeMap<ShardId, TopicId>>,
    payload_bytes_max: usize,
}

impl Brokers {
    /// What the brokers of a node on these places are made from.
    pub fn new(
        doors: Doors,
        config: &Config,
        places: &Places,
        bells: &Bells,
        cores: u16,
    ) -> Brokers {
        let broker = &config.broker;
        let asks = mesh::build::<Ask>(cores, RING, bells);
        let tells = mesh::build::<Tell>(cores, RING, bells);
        Brokers {
            options: options(config, cores),
            entrances: doors.entrances,
            users: doors.users,
            groups: GroupOptions {
                session_timeout_min_ms: broker.group_min_session_timeout_ms as i32,
                session_timeout_max_ms: broker.group_max_session_timeout_ms as i32,
                initial_rebalance_delay_ms: broker.group_initial_rebalance_delay_ms as i32,
                offsets_retention_ms: broker.offsets_retention_ms,
                ..GroupOptions::default()
            },
            transactions: TxnOptions {
                timeout_max_ms: broker.transaction_timeout_max_ms as i32,
                ..TxnOptions::default()
            },
            rings: asks.into_iter().zip(tells).collect(),
            table: Arc::clone(&places.table),
            dead_letters: Arc::clone(&places.dead_letters),
            payload_bytes_max: config.transactions.payload_bytes_max as usize,
        }
    }

    /// Where clients are told to connect, by listener.
    pub fn endpoints(&self, advertised: &[String]) -> Vec<Endpoint> {
        let bound = self.entrances.iter().map(|entrance| Endpoint {
            host: entrance.address.ip().to_string(),
            port: entrance.address.port(),
        });
        let told = advertised.iter().filter_map(|text| {
            let (host, port) = text.rsplit_once(':')?;
            Some(Endpoint {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.parse().ok()?,
            })
        });
        let told: Vec<_> = told.collect();
        match told.is_empty() {
            true => bound.collect(),
            false => told,
        }
    }

    /// What the cores' brokers are made from, in their order.
    pub fn seeds(self, administered: Administered) -> Vec<BrokerSeed> {
        let Administered {
            view,
            retentions,
            ends,
        } = administered;
        let parts = (0..).zip(self.rings).zip(ends);
        parts
            .map(|((core, rings), admin)| BrokerSeed {
                options: BrokerOptions {
                    core: CoreId(core),
                    ..self.options.clone()
                },
                entrances: self.entrances.clone(),
                users: self.users.clone(),
                coordinators: (CoreId(core) == COORDINATOR)
                    .then(|| (self.groups.clone(), self.transactions)),
                rings,
                admin,
                view: Arc::clone(&view),
                retentions: Arc::clone(&retentions),
                table: Arc::clone(&self.table),
                dead_letters: Arc::clone(&self.dead_letters),
                payload_bytes_max: self.payload_bytes_max,
            })
            .collect()
    }
}

impl<D: Disk> GuestSeed<LogStorage<D>> for BrokerSeed {
    type Guest = Broker;

    fn make(self, event: &Rc<LocalEvent>, storage: &mut LogStorage<D>) -> Result<Broker, String> {
        let me = EndpointId(self.options.core.0);
        let desk = DeskOptions {
            connections_max: self.options.connections_max,
            connection_bytes_max: self.options.connection_bytes_max,
            bytes_max: self.options.bytes_max,
        };
        let desk = Rc::new(Desk::new(desk, Rc::clone(event)));
        let house = Rc::new(House::new(
            Rc::clone(&desk),
            self.users,
            self.options.request_bytes_max,
        ));
        for &(partition, bounds) in self.retentions.iter() {
            if storage.owns(partition) {
                storage.set_retention(partition, bounds);
            }
        }
        let (asks, tells) = self.rings;
        let coordination = self.coordinators.map(|(groups, transactions)| {
            let seed = crate::clock::wall().0.unsigned_abs();
            Coordination::new(Groups::new(groups, seed), Transactions::new(transactions))
        });
        let parts = BrokerParts {
            desk,
            asks,
            tells,
            admin: self.admin,
            view: self.view,
            coordination,
            inlet: Inlet::new(self.table, self.dead_letters, me, self.payload_bytes_max),
        };
        let broker = Broker::new(self.options, parts, storage)?;
        listen::serve(self.entrances, &house).map_err(|error| error.to_string())?;
        Ok(broker)
    }
}

fn options(config: &Config, cores: u16) -> BrokerOptions {
    let broker = &config.broker;
    BrokerOptions {
        core: CoreId(0),
        cores,
        connections_max: broker.connections_max as usize,
        request_bytes_max: broker.request_bytes_max as usize,
        connection_bytes_max: broker.connection_bytes_max as usize,
        bytes_max: broker.bytes_max as usize,
        fetch_bytes_max: broker.fetch_bytes_max as usize,
        auto_create: match broker.auto_create_topics {
            true => AutoCreate::Allowed,
            false => AutoCreate::Never,
        },
        directory: config.log.directory.display().to_string(),
        storage_patience_ns: STORAGE_PATIENCE_NS,
    }
}

/// The listeners, first the plain ones.
fn entrances(broker: &BrokerConfig) -> Result<Vec<Entrance>, StartError> {
    let mut entrances = Vec::new();
    for address in &broker.listen {
        entrances.push(Entrance {
            address: numbered(*address)?,
            tls: None,
        });
    }
    let acceptor = match &broker.tls {
        Some(tls) if !broker.tls_listen.is_empty() => {
            let options = TlsOptions {
                certificate: tls.certificate.clone(),
                key: tls.key.clone(),
                client_ca: tls.client_ca.clone(),
            };
            Some(TlsAcceptor::load(&options).map_err(refused)?)
        }
        Some(_) | None => None,
    };
    for address in &broker.tls_listen {
        entrances.push(Entrance {
            address: numbered(*address)?,
            tls: acceptor.clone(),
        });
    }
    Ok(entrances)
}

fn refused(error: impl std::fmt::Display) -> StartError {
    StartError::Broker {
        reason: error.to_string(),
    }
}

/// The address with a port that is free, where any may be taken: all cores must bind the same one, and
/// clients be told of it before.
fn numbered(address: SocketAddr) -> Result<SocketAddr, StartError> {
    if address.port() != 0 {
        return Ok(address);
    }
    let bound = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    bound.map_err(|error| StartError::Listen {
        address: address.to_string(),
        reason: error.to_string(),
    })
}

fn users(broker: &BrokerConfig) -> Result<Option<Arc<Users>>, StartError> {
    if broker.sasl.is_empty() {
        return Ok(None);
    }
    let mechanisms: Vec<Mechanism> = broker
        .sasl
        .iter()
        .filter_map(|mechanism| Mechanism::from_name(mechanism.name()))
        .collect();
    let known = broker.users.iter();
    let known = known.map(|user| (user.name.as_str(), user.password.reveal()));
    let users = Users::new(known, &mechanisms, ITERATIONS_MIN).map_err(refused)?;
    Ok(Some(Arc::new(users)))
}

//! Follows the kernel's figures in all chosen network namespaces, from one snapshot to the next.
//!
//! Owns which namespaces are followed, and which of them has the listener of a server. Does not own reading one
//! (`reader`) nor the growth of its figures (`watch`).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::address::is_link_local;
use super::dnat::Dnat;
use super::netns::{Netns, NetnsChoice, NetnsId};
use super::netns_files::NetnsFile;
use super::reader::NamespaceReader;
use super::{
    Access, KernelError, KernelStats, LocalAddresses, Owners, Snapshot, WaitingConnection, Watch,
    WatchedListener,
};
use crate::packet::Span;

/// Interval between two searches for new and ended namespaces, and for their addresses: both change rarely, and each
/// search looks at every process.
const REFRESH: Duration = Duration::from_secs(3);

/// Most namespaces that are followed; each takes about a dozen descriptors.
const MAX_NAMESPACES: usize = 1000;

/// Time after a namespace was found in which its addresses are read with each snapshot: a container's are often set later than
/// its first process is there.
const SETTLING: Duration = Duration::from_secs(10);

/// Time for which the figures of a namespace are kept after its end: its clients may retry for two minutes, and what happened
/// to them is known only then.
const KEEP_ENDED: Duration = Duration::from_secs(150);

/// Most ended namespaces whose figures are kept, the latest.
const MAX_ENDED: usize = 64;

/// All followed namespaces.
pub struct Monitor {
    choice: NetnsChoice,
    access: Access,
    /// The own one first, where it is among them.
    followed: Vec<WatchedNetns>,
    /// Namespaces that ended lately, each with the time of its end, in order of that.
    ended: VecDeque<(Instant, WatchedNetns)>,
    unreadable: Vec<(Netns, KernelError)>,
    /// Namespaces that were found since the notes were last read.
    news: Vec<NetnsId>,
    refreshed: Instant,
}

/// A network namespace that is followed, with its figures since it was first read.
pub struct WatchedNetns {
    /// The namespace.
    pub netns: Netns,
    /// Figures of the namespace: the latest snapshot, and the growth since the first.
    pub watch: Watch,
    addresses: LocalAddresses,
    found: Instant,
    /// `None` after its end: open descriptors would keep it in existence.
    reader: Option<NamespaceReader>,
    /// Destination NAT in it, published ports of the containers behind it; or the reason why it is not known.
    dnat: Result<Dnat, String>,
}

impl Monitor {
    /// Finds the namespaces, opens each, and takes the first snapshots. Do it while privileged: afterwards new ones can
    /// be read only as far as an ordinary user may, or by a helper.
    ///
    /// # Errors
    ///
    /// The only chosen namespace, or the own one, cannot be read. Others are counted ([`Self::unreadable`]).
    pub fn open(choice: &NetnsChoice, access: Access) -> Result<Self, KernelError> {
        let mut monitor = Self {
            choice: choice.clone(),
            access,
            followed: Vec::new(),
            ended: VecDeque::new(),
            unreadable: Vec::new(),
            news: Vec::new(),
            refreshed: Instant::now(),
        };
        monitor.refresh()?;
        // Of these `notes` tells.
        monitor.news.clear();
        Ok(monitor)
    }

    /// Takes a snapshot of each namespace; now and then looks for new and ended ones.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn sample(&mut self) -> Result<(), KernelError> {
        self.followed.iter_mut().filter_map(|followed| followed.dnat.as_mut().ok()).for_each(Dnat::drain);
        let mut failed = Ok(());
        let readers = self.followed.iter().filter_map(|followed| followed.reader.as_ref());
        let tables = readers.map(NamespaceReader::table_took).sum();
        for followed in &mut self.followed {
            match followed.reader.as_ref().map(|reader| reader.snapshot(tables)) {
                Some(Ok(snapshot)) => {
                    followed.watch.push(snapshot);
                    if followed.found.elapsed() < SETTLING {
                        followed.read_addresses();
                    }
                }
                Some(Err(error)) if followed.netns.own => failed = Err(error),
                Some(Err(_)) | None => followed.end(),
            }
        }
        self.bury();
        failed?;
        if self.refreshed.elapsed() >= REFRESH {
            self.refresh()?;
        }
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), KernelError> {
        self.refreshed = Instant::now();
        let found = match self.access.discover(&self.choice) {
            Ok(found) => found,
            // The chosen one has ended; its last figures stay.
            Err(_) if !self.followed.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        for followed in &mut self.followed {
            if found.iter().all(|netns| netns.id != followed.netns.id) {
                followed.end();
            }
        }
        self.bury();
        let unreadable = std::mem::take(&mut self.unreadable);
        for netns in found {
            let id = netns.id;
            if let Some(known) = self.followed.iter_mut().find(|followed| followed.netns.id == netns.id) {
                known.read_addresses();
                // Inode and name may have been readable only while privileged.
                let inode = netns.inode.or(known.netns.inode);
                known.netns = Netns { inode, name: netns.name.or(known.netns.name.take()), ..netns };
            } else if self.followed.len() < MAX_NAMESPACES {
                match WatchedNetns::open(netns.clone(), &mut self.access) {
                    Ok(followed) => {
                        self.followed.push(followed);
                        self.news.push(id);
                    }
                    Err(error) if netns.own || self.choice != NetnsChoice::All => return Err(error),
                    Err(error) => {
                        if unreadable.iter().all(|(known, _)| known.id != id) {
                            self.news.push(id);
                        }
                        self.unreadable.push((netns, error));
                    }
                }
            }
        }
        // Notes that nobody reads must not pile up.
        let (followed, unreadable) = (&self.followed, &self.unreadable);
        let exists = |id: &NetnsId| {
            followed.iter().any(|one| one.netns.id == *id) || unreadable.iter().any(|(one, _)| one.id == *id)
        };
        self.news.retain(exists);
        Ok(())
    }

    /// Moves those that have ended to the others of that kind, and forgets the oldest.
    fn bury(&mut self) {
        let now = Instant::now();
        let ended = self.followed.extract_if(.., |followed| followed.reader.is_none());
        self.ended.extend(ended.map(|ended| (now, ended)));
        let excess = self.ended.len().saturating_sub(MAX_ENDED);
        self.ended.drain(..excess);
        self.ended.retain(|(since, _)| now - *since < KEEP_ENDED);
    }

    /// The followed namespaces, the own one first.
    #[must_use]
    pub fn namespaces(&self) -> &[WatchedNetns] {
        &self.followed
    }

    /// Namespaces that exist and cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.unreadable.len()
    }

    /// The listener that gets the packets to `server`, its namespace, and its address there: behind NAT, where that was
    /// seen. `None` where no followed namespace has such a listener, nor had one that ended lately; or where several have, and
    /// not the own one: isolated bridges may use the same addresses, and nothing shows whose packets they are.
    #[must_use]
    pub fn find(&self, server: SocketAddr) -> Option<(&WatchedNetns, SocketAddr, WatchedListener<'_>)> {
        let ended = || self.ended.iter().map(|(_, ended)| ended);
        let translations = self.followed.iter().chain(ended()).filter_map(|one| one.dnat.as_ref().ok());
        let behind = translations.filter_map(|dnat| dnat.behind(server));
        behind.chain([server]).find_map(|address| {
            sole_listener(self.followed.iter(), address).or_else(|| sole_listener(ended(), address))
        })
    }

    /// An address before destination NAT of packets that reach the listener at `address`: of a published port. `None` where
    /// no connection through one was seen.
    #[must_use]
    pub fn published(&self, address: SocketAddr) -> Option<SocketAddr> {
        let translations = self.followed.iter().filter_map(|one| one.dnat.as_ref().ok());
        translations.filter_map(|dnat| dnat.published(address)).min()
    }

    /// The owners of the sockets with these inodes.
    pub fn owners(&mut self, inodes: &[u64]) -> Owners {
        self.access.owners(inodes)
    }

    /// The namespace with this identity, which may have ended lately.
    #[must_use]
    pub fn netns(&self, id: NetnsId) -> Option<&WatchedNetns> {
        let ended = self.ended.iter().rev().map(|(_, ended)| ended);
        self.followed.iter().chain(ended).find(|one| one.netns.id == id)
    }

    /// Notes for the user: namespaces that are read in full, those read in part, and those that could not be read.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes_on("", |_| true)
    }

    /// The same of the namespaces that were found since this was last called; after the beginning, when privileges may have
    /// been given up.
    pub fn news(&mut self) -> Vec<String> {
        let news = std::mem::take(&mut self.news);
        let lost = self.access.take_lost().map(|error| {
            format!(
                "the process that opens network namespaces {error}; those that begin from now on are read without queue limits \
                 and drops"
            )
        });
        let found = self.notes_on("found since: ", |netns| news.contains(&netns.id));
        lost.into_iter().chain(found).collect()
    }

    /// Notes on some of the namespaces, each of which begins with `prefix`.
    fn notes_on(&self, prefix: &str, wanted: impl Fn(&Netns) -> bool) -> Vec<String> {
        let (whole, part): (Vec<&WatchedNetns>, Vec<&WatchedNetns>) = self
            .followed
            .iter()
            .filter(|followed| wanted(&followed.netns))
            .partition(|followed| followed.is_complete());
        let names = |followed: &[&WatchedNetns]| {
            followed.iter().map(|followed| followed.netns.to_string()).collect::<Vec<_>>().join(", ")
        };
        let mut notes = Vec::new();
        if !whole.is_empty() {
            notes.push(format!("{prefix}network namespaces read: {}", names(&whole)));
        }
        if !part.is_empty() {
            notes.push(format!(
                "{prefix}network namespaces read without queue limits and drops, which needs root: {}",
                names(&part)
            ));
        }
        for (netns, error) in self.unreadable.iter().filter(|(netns, _)| wanted(netns)) {
            notes.push(format!("{prefix}network namespace {netns}: not read: {error}"));
        }
        let all = whole.into_iter().chain(part);
        let without: Vec<(&WatchedNetns, &String)> =
            all.filter_map(|one| Some((one, one.dnat.as_ref().err()?))).collect();
        if let Some((_, error)) = without.first() {
            let places: Vec<&WatchedNetns> = without.iter().map(|&(followed, _)| followed).collect();
            notes.push(format!(
                "{prefix}published ports (destination NAT) not followed in {}: connection tracking: {error}",
                names(&places)
            ));
        }
        notes
    }
}

/// The only listener at this address, or the first, where that is the own namespace's.
fn sole_listener<'a>(
    mut namespaces: impl Iterator<Item = &'a WatchedNetns>,
    address: SocketAddr,
) -> Option<(&'a WatchedNetns, SocketAddr, WatchedListener<'a>)> {
    let mut here = namespaces.by_ref().filter_map(|one| Some((one, one.listener(address)?)));
    let (first, listener) = here.next()?;
    let sole = first.netns.own || here.next().is_none();
    sole.then_some((first, address, listener))
}

impl WatchedNetns {
    /// Opens it, and takes the first snapshot: where it may not be entered, as every user may by a process in it.
    fn open(mut netns: Netns, access: &mut Access) -> Result<Self, KernelError> {
        let (reader, dnat) = match (access.open(&netns), netns.pid) {
            (Ok(mut files), _) => {
                netns.inode = netns.inode.or(files.inode);
                let events = files.take(NetnsFile::Conntrack).map(Dnat::new);
                let dnat = events.ok_or_else(|| files.without_conntrack.take().unwrap_or_default());
                (NamespaceReader::new(&mut files)?, dnat)
            }
            (Err(error), Some(pid)) if !netns.own => {
                (NamespaceReader::of_process(pid)?, Err(error.to_string()))
            }
            (Err(error), _) => return Err(error),
        };
        let first: Snapshot = reader.snapshot(Duration::ZERO)?;
        let addresses = reader.addresses();
        let (watch, found) = (Watch::new(first), Instant::now());
        Ok(Self { netns, watch, addresses, found, reader: Some(reader), dnat })
    }

    fn read_addresses(&mut self) {
        if let Some(reader) = &self.reader {
            self.addresses = reader.addresses();
        }
    }

    /// Closes its descriptors; its figures stay.
    fn end(&mut self) {
        self.reader = None;
        self.watch.end();
        self.dnat.iter_mut().for_each(Dnat::close);
    }

    /// True if limits and drops can be read, and not only what every user may read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.reader.as_ref().is_some_and(NamespaceReader::is_complete)
    }

    /// The listener here that packets to `server` end at. Loopback addresses are the own namespace's only.
    fn listener(&self, server: SocketAddr) -> Option<WatchedListener<'_>> {
        let ip = server.ip().to_canonical();
        let reachable = self.netns.own || !(ip.is_loopback() || is_link_local(ip));
        let listener = self.watch.listener(server).filter(|_| reachable)?;
        // An address that a socket is bound to is the namespace's, read or not.
        let is_bound = listener.socket().local.ip().to_canonical() == ip;
        (is_bound || self.addresses.contains(ip)).then_some(listener)
    }

    /// The address by which others may reach a socket that is bound to `local`: where that is any address, one of the
    /// namespace's.
    #[must_use]
    pub fn reachable(&self, local: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.addresses.reachable(local.ip()), local.port())
    }

    /// Figures of one of its listeners, with the names of the namespace and of the process that listens.
    #[must_use]
    pub fn stats(&self, listener: WatchedListener<'_>, owners: &Owners) -> KernelStats {
        let owner = owners.of(listener.socket().inode).first().cloned();
        KernelStats { netns: self.netns.clone(), owner, ..listener.stats() }
    }

    /// The longest wait of a connection in the accept queues of `port`. The kernel walks all connections for it.
    #[must_use]
    pub fn longest_wait(&self, port: u16) -> Option<Span> {
        let waiting = self.waiting(&[port]).ok()?;
        waiting.into_iter().filter_map(|waiting| waiting.waited).max().map(Span::from)
    }

    /// Connections that wait in the accept queues of `ports`.
    ///
    /// # Errors
    ///
    /// Those of netlink and `/proc`.
    pub fn waiting(&self, ports: &[u16]) -> Result<Vec<WaitingConnection>, KernelError> {
        self.reader.as_ref().map_or(Ok(Vec::new()), |reader| reader.waiting(ports))
    }
}

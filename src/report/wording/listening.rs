//! The process that listens, and its place.

use super::diagnosis::server_name;
use crate::kernel::KernelStats;
use crate::listener::Listener;
use crate::printable::printable;

/// Process that listens, and its place: [`listening`], the addresses that clients use where they are translated on the way, and others of `all`
/// that the same socket serves; empty where nothing is known.
pub(in crate::report) fn listens(listener: &Listener, all: &[Listener]) -> String {
    let listening = listener.kernel.as_ref().map(listening).filter(|words| !words.is_empty());
    let mut parts = Vec::from_iter(listening);
    parts.extend(translated(listener));
    parts.extend(same_socket(listener, all));
    parts.join("; ")
}

/// `its socket, [::]:80, and the queue are those of 10.0.0.1:80, too`: a socket on any address serves several, and IPv4 as well as
/// IPv6.
fn same_socket(listener: &Listener, all: &[Listener]) -> Option<String> {
    /// Most others that are named.
    const NAMED: usize = 3;
    let place = |one: &Listener| one.kernel.as_ref().map(|stats| (stats.netns.id, stats.local));
    let (_, local) = place(listener)?;
    let others =
        all.iter().filter(|other| other.server != listener.server && place(other) == place(listener));
    let others: Vec<String> = others.map(server_name).collect();
    let more = match others.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    let named = others.get(..NAMED.min(others.len()))?.join(", ");
    (!others.is_empty())
        .then(|| format!("its socket, {local}, and the queue are those of {named}{more}, too"))
}

/// `clients connect to 10.0.0.1:8080, which is translated to 172.17.0.2:80`, where one of both is the server of the report.
fn translated(listener: &Listener) -> Option<String> {
    let server = listener.server?;
    if let Some(published) = listener.published {
        return Some(format!("clients connect to {published}, which is translated to {server}"));
    }
    let local = listener.kernel.as_ref()?.local;
    let (bound, asked) = (local.ip().to_canonical(), server.ip().to_canonical());
    let is_other = local.port() != server.port() || !bound.is_unspecified() && bound != asked;
    is_other.then(|| format!("clients connect to {server}, which is translated to {local}"))
}

/// `nginx[71] stopped in docker 3f2a1b0c9d8e, network namespace PID 71, 1 of 4 sockets full`, as far as known; empty where
/// nothing is.
pub(in crate::report) fn listening(stats: &KernelStats) -> String {
    let mut parts = Vec::new();
    if let Some(owner) = &stats.owner {
        let state = if owner.state.is_halted() { format!(" {}", owner.state.name()) } else { String::new() };
        let container =
            owner.container.as_ref().map_or_else(String::new, |container| format!(" in {container}"));
        parts.push(printable(&format!("{}[{}]{state}{container}", owner.command, owner.pid)).into_owned());
    }
    if !stats.netns.own {
        parts.push(printable(&format!("network namespace {}", stats.netns)).into_owned());
    }
    if stats.sockets > 1 {
        parts.push(format!("{} of {} sockets full", stats.sockets_full, stats.sockets));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{ListenSocket, Netns};
    use crate::packet::Endpoint;
    use crate::report::samples;

    /// The listener of a full queue, at `server`, with a socket that is bound to `local`.
    fn listener(server: Endpoint, local: &str) -> Listener {
        let local = local.parse().unwrap();
        let socket = ListenSocket { v6only: Some(false), recv_q: 5, ..ListenSocket::sample(local) };
        let kernel = samples::kernel_stats(socket, Netns { own: true, ..Netns::default() });
        let any = samples::overflow_mixed().0.listeners.remove(0);
        Listener { server: Some(server), kernel: Some(kernel), ..any }
    }

    #[test]
    fn an_address_that_is_translated_is_named_with_the_other_one() {
        let (host, container) = (Endpoint::v4([10, 0, 0, 1], 8080), Endpoint::v4([172, 17, 0, 2], 80));
        let both = "clients connect to 10.0.0.1:8080, which is translated to 172.17.0.2:80";
        assert_eq!(listens(&listener(host, "172.17.0.2:80"), &[]), both);
        let behind = listener(container, "0.0.0.0:80");
        assert_eq!(listens(&behind, &[]), "");
        assert_eq!(listens(&Listener { published: Some(host), ..behind }, &[]), both);
    }

    #[test]
    fn servers_of_one_socket_are_said_to_have_one_queue() {
        let v4 = Endpoint::v4([10, 0, 0, 1], 80);
        let v6 = Endpoint::from("[fd00::1]:80".parse::<std::net::SocketAddr>().unwrap());
        let [one, other] = [v4, v6].map(|server| listener(server, "[::]:80"));
        let apart = listener(Endpoint::v4([10, 0, 0, 2], 80), "10.0.0.2:80");
        let all = [one, other, apart];
        assert_eq!(
            listens(&all[0], &all),
            "its socket, [::]:80, and the queue are those of [fd00::1]:80, too"
        );
        assert_eq!(listens(&all[2], &all), "");
    }
}

//! Settings by which known servers are given the backlog of their listeners, and what else lets a queue be emptied.

use crate::kernel::{BacklogBy, LimitFrom, Owner, ProcessState};
use crate::printable::printable;

/// A server, by its command name, and its setting.
struct Knob {
    /// Beginning of the command name (`comm`, at most 15 bytes); the whole of it where `exact`.
    command: &'static str,
    exact: bool,
    setting: &'static str,
}

const fn exactly(command: &'static str, setting: &'static str) -> Knob {
    Knob { command, exact: true, setting }
}

const fn beginning(command: &'static str, setting: &'static str) -> Knob {
    Knob { command, exact: false, setting }
}

/// Names and defaults as of the servers' own documentation.
static KNOBS: [Knob; 20] = [
    exactly("nginx", "backlog= of nginx' listen directive (511 by default)"),
    exactly("redis-server", "tcp-backlog in redis.conf (511 by default)"),
    exactly("valkey-server", "tcp-backlog in valkey.conf (511 by default)"),
    exactly("haproxy", "backlog of HAProxy's frontend (maxconn by default)"),
    exactly("node", "backlog in Node's server.listen({port, backlog}) (511 by default)"),
    exactly("node-MainThread", "backlog in Node's server.listen({port, backlog}) (511 by default)"),
    beginning("gunicorn", "gunicorn's --backlog (2048 by default)"),
    exactly("uvicorn", "uvicorn's --backlog (2048 by default)"),
    exactly("hypercorn", "hypercorn's --backlog (100 by default)"),
    exactly(
        "java",
        "the second argument of Java's ServerSocket (50 by default), acceptCount in Tomcat (100)",
    ),
    beginning(
        "python",
        "the argument of Python's listen(), request_queue_size in socketserver (5 by default)",
    ),
    exactly("apache2", "ListenBacklog of Apache (511 by default)"),
    exactly("httpd", "ListenBacklog of Apache (511 by default)"),
    beginning("php-fpm", "listen.backlog of the PHP-FPM pool (511 by default)"),
    exactly("uwsgi", "uWSGI's --listen (100 by default)"),
    exactly("mysqld", "back_log of MySQL"),
    exactly("mariadbd", "back_log of MariaDB"),
    exactly("memcached", "memcached's --listen-backlog (1024 by default)"),
    exactly("lighttpd", "server.listen-backlog of lighttpd (1024 by default)"),
    exactly("envoy", "tcp_backlog_size of Envoy's listener"),
];

/// The setting of the backlog of a listener's owner, as a noun; `None` where the program is not known.
fn backlog_setting(owner: &Owner) -> Option<&'static str> {
    let known = KNOBS.iter().find(|knob| match knob.exact {
        true => owner.command == knob.command,
        false => owner.command.starts_with(knob.command),
    });
    known.map(|knob| knob.setting)
}

/// Facts of a queue's limit, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::report) struct LimitKnob {
    /// The limit.
    pub(in crate::report) limit: Option<u32>,
    /// Origin of the limit.
    pub(in crate::report) from: Option<LimitFrom>,
    /// `net.core.somaxconn` at present.
    pub(in crate::report) somaxconn: Option<u32>,
}

/// Clause on how to raise the limit of a queue: the setting of the program that listens, and that it must be
/// started again.
pub(in crate::report) fn raise_backlog(owner: Option<&Owner>, queue: LimitKnob) -> String {
    let LimitKnob { limit, from, somaxconn } = queue;
    let name = owner.map(|owner| printable(&owner.command));
    let name = name.as_deref().unwrap_or("the server");
    let by = owner.map(|owner| owner.backlog_by);
    let restart = match by {
        Some(BacklogBy::SocketUnit) => "restart that unit and its service".to_owned(),
        _ if name == "nginx" => "reload or restart nginx".to_owned(),
        _ => format!("restart {name}"),
    };
    let now = somaxconn.map_or_else(String::new, |value| format!(" (now {value})"));
    if by == Some(BacklogBy::GoLibrary) {
        return match (limit, somaxconn) {
            (Some(limit), Some(somaxconn)) if somaxconn > limit => format!(
                "{restart}, whose limit is {limit}: a program in Go takes net.core.somaxconn{now} as its backlog when it begins \
                 to listen"
            ),
            _ => format!(
                "raise net.core.somaxconn{now} and {restart}: a program in Go takes it as its backlog when it begins to listen"
            ),
        };
    }
    let setting = match (owner, by) {
        (None, _) => "the backlog given to listen()".to_owned(),
        (Some(_), Some(BacklogBy::SocketUnit)) => "Backlog= in the .socket unit".to_owned(),
        (Some(owner), _) => backlog_setting(owner)
            .map_or_else(|| format!("the backlog that {name} gives to listen()"), str::to_owned),
    };
    match (limit, from, somaxconn) {
        (Some(limit), Some(LimitFrom::Somaxconn), _) => format!(
            "raise net.core.somaxconn above {limit} together with {setting}, and {restart}: the limit is set at listen()"
        ),
        (Some(limit), Some(LimitFrom::Listen), Some(somaxconn)) if somaxconn > limit => {
            format!("raise {setting} above {limit} and {restart} (net.core.somaxconn allows {somaxconn})")
        }
        (Some(limit), ..) => {
            format!("raise {setting} above {limit}, with net.core.somaxconn at least as high, and {restart}")
        }
        (None, ..) => format!(
            "raise both {setting} and net.core.somaxconn{now}, the smaller of which is the limit, and {restart}"
        ),
    }
}

/// Advice that lets a process go on that cannot accept; `None` where it can.
pub(in crate::report) fn continue_process(owner: &Owner) -> Option<String> {
    let how = match owner.state {
        ProcessState::Stopped => format!("`kill\u{a0}-CONT\u{a0}{}` lets it go on", owner.pid),
        ProcessState::Traced => "the debugger must let it go on".to_owned(),
        _ if owner.state.is_halted() => "restart it".to_owned(),
        _ => return None,
    };
    Some(format!(
        "{}[{}] is {}, so it accepts nothing: {how}. A larger backlog would not help.",
        printable(&owner.command),
        owner.pid,
        owner.state.name()
    ))
}

/// Advice where one of several sockets of an address is full, while the others are not. With the owner of the full
/// one where it is full now.
pub(in crate::report) fn find_why_one_worker_waits(owner: Option<&Owner>) -> String {
    let (which, state) = match owner {
        Some(owner) => (
            format!("this worker of {}", printable(&owner.command)),
            format!(" (it is {})", owner.state.name()),
        ),
        None => ("one of the workers".to_owned(), String::new()),
    };
    format!(
        "find out why {which} does not accept{state}, while the others do. A larger backlog would not help."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(command: &str, backlog_by: BacklogBy) -> Owner {
        Owner {
            pid: 71,
            command: command.to_owned(),
            state: ProcessState::Sleeping,
            container: None,
            polls: false,
            backlog_by,
        }
    }

    fn limit(limit: Option<u32>, from: LimitFrom, somaxconn: u32) -> LimitKnob {
        LimitKnob { limit, from: Some(from), somaxconn: Some(somaxconn) }
    }

    #[test]
    fn a_known_server_gets_its_own_setting_and_a_restart() {
        let unknown = limit(None, LimitFrom::Listen, 4096);
        let raise = |command| raise_backlog(Some(&owner(command, BacklogBy::Program)), unknown);
        assert_eq!(
            raise("redis-server"),
            "raise both tcp-backlog in redis.conf (511 by default) and net.core.somaxconn (now 4096), the smaller of which \
             is the limit, and restart redis-server"
        );
        assert!(raise("gunicorn: maste").contains("gunicorn's --backlog"));
        assert!(raise("python3.11").contains("Python's listen()"));
        assert!(raise("nginx").ends_with("and reload or restart nginx"));
        assert!(raise("mine").contains("the backlog that mine gives to listen()"));
        assert!(raise_backlog(None, unknown).starts_with("raise both the backlog given to listen() and net"));
    }

    #[test]
    fn what_the_limit_is_of_is_raised() {
        let redis = owner("redis-server", BacklogBy::Program);
        let raise = |from, somaxconn| raise_backlog(Some(&redis), limit(Some(128), from, somaxconn));
        assert_eq!(
            raise(LimitFrom::Listen, 4096),
            "raise tcp-backlog in redis.conf (511 by default) above 128 and restart redis-server (net.core.somaxconn allows \
             4096)"
        );
        assert_eq!(
            raise(LimitFrom::Somaxconn, 128),
            "raise net.core.somaxconn above 128 together with tcp-backlog in redis.conf (511 by default), and restart \
             redis-server: the limit is set at listen()"
        );
        assert!(raise(LimitFrom::Listen, 64).contains("above 128, with net.core.somaxconn at least as high"));
    }

    #[test]
    fn a_socket_unit_has_a_setting_of_its_own() {
        let nginx = owner("nginx", BacklogBy::SocketUnit);
        let raise = raise_backlog(Some(&nginx), limit(Some(128), LimitFrom::Listen, 4096));
        assert_eq!(
            raise,
            "raise Backlog= in the .socket unit above 128 and restart that unit and its service (net.core.somaxconn allows \
             4096)"
        );
    }

    #[test]
    fn a_program_in_go_takes_somaxconn() {
        let traefik = owner("traefik", BacklogBy::GoLibrary);
        let raise =
            |somaxconn| raise_backlog(Some(&traefik), limit(Some(128), LimitFrom::Somaxconn, somaxconn));
        let go = raise(128);
        assert!(go.starts_with("raise net.core.somaxconn (now 128) and restart traefik: "), "{go}");
        let raised = raise(4096);
        assert!(raised.starts_with("restart traefik, whose limit is 128: a program in Go takes"), "{raised}");
    }

    #[test]
    fn a_process_that_cannot_accept_is_let_go_on() {
        let stopped = Owner { state: ProcessState::Stopped, ..owner("nginx", BacklogBy::Program) };
        assert_eq!(
            continue_process(&stopped).unwrap(),
            "nginx[71] is stopped, so it accepts nothing: `kill\u{a0}-CONT\u{a0}71` lets it go on. A larger backlog would \
             not help."
        );
        assert_eq!(continue_process(&owner("nginx", BacklogBy::Program)), None);
    }

    #[test]
    fn no_name_is_the_beginning_of_an_earlier_one() {
        for (place, knob) in KNOBS.iter().enumerate() {
            let taken = KNOBS[..place].iter().any(|other| {
                other.command == knob.command || !other.exact && knob.command.starts_with(other.command)
            });
            assert!(!taken, "{}", knob.command);
        }
    }
}

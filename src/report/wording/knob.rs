//! Settings by which known servers are given the backlog of their listeners.

use crate::kernel::Owner;
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
static KNOBS: [Knob; 21] = [
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
    exactly("systemd", "Backlog= in the .socket unit"),
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
pub(in crate::report) fn backlog_setting(owner: &Owner) -> Option<&'static str> {
    let known = KNOBS.iter().find(|knob| match knob.exact {
        true => owner.command == knob.command,
        false => owner.command.starts_with(knob.command),
    });
    known.map(|knob| knob.setting)
}

/// Clause on how to raise the limit of a queue: the setting of the program that listens, and that it must be
/// started again. `somaxconn` is the sysctl's present value.
pub(in crate::report) fn raise_backlog(owner: Option<&Owner>, somaxconn: Option<u32>) -> String {
    let now = somaxconn.map_or_else(String::new, |value| format!(" (now {value})"));
    let Some(owner) = owner else {
        return format!(
            "raise both the backlog given to listen() and net.core.somaxconn{now}, the smaller of which is the limit, and \
             restart the server"
        );
    };
    let name = printable(&owner.command);
    let restart = if owner.command == "nginx" {
        "reload or restart nginx".to_owned()
    } else {
        format!("restart {name}")
    };
    if owner.is_go {
        return format!(
            "raise net.core.somaxconn{now} and {restart}: a program in Go takes it as its backlog when it begins to listen"
        );
    }
    let setting = backlog_setting(owner)
        .map_or_else(|| format!("the backlog that {name} gives to listen()"), str::to_owned);
    format!(
        "raise both {setting} and net.core.somaxconn{now}, the smaller of which is the limit, and {restart}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ProcessState;

    fn owner(command: &str, is_go: bool) -> Owner {
        Owner {
            pid: 71,
            command: command.to_owned(),
            state: ProcessState::Sleeping,
            container: None,
            polls: false,
            is_go,
        }
    }

    #[test]
    fn a_known_server_gets_its_own_setting_and_a_restart() {
        let raise = |command| raise_backlog(Some(&owner(command, false)), Some(4096));
        assert_eq!(
            raise("redis-server"),
            "raise both tcp-backlog in redis.conf (511 by default) and net.core.somaxconn (now 4096), the smaller of which \
             is the limit, and restart redis-server"
        );
        assert!(raise("gunicorn: maste").contains("gunicorn's --backlog"));
        assert!(raise("python3.11").contains("Python's listen()"));
        assert!(raise("nginx").ends_with("and reload or restart nginx"));
        assert!(raise("mine").contains("the backlog that mine gives to listen()"));
    }

    #[test]
    fn a_program_in_go_takes_somaxconn() {
        let go = raise_backlog(Some(&owner("traefik", true)), Some(128));
        assert!(go.starts_with("raise net.core.somaxconn (now 128) and restart traefik: "), "{go}");
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

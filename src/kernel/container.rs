//! The container or systemd unit of a process, from its cgroup path.

/// Length of a short container id, in hexadecimal digits, as `docker ps` shows it.
const SHORT_ID_LEN: usize = 12;

/// Digits of a whole container number.
const WHOLE: usize = 64;

/// Container or systemd unit that a process runs in, as its cgroup path names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Container {
    /// A container of this runtime, with its number.
    Runtime(&'static str, String),
    /// A container in a Kubernetes pod whose runtime the path does not name.
    Kubernetes(String),
    /// A systemd unit, named with its suffix.
    Unit(String),
}

impl Container {
    /// Reads `/proc/PID/cgroup`; `None` for a process outside of containers and units.
    ///
    /// The innermost name counts: a container in a pod in a systemd slice is the container.
    #[must_use]
    pub fn parse(cgroup: &str) -> Option<Self> {
        let paths = || cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        paths().find_map(container).or_else(|| paths().find_map(unit))
    }

    /// The runtime, or `systemd`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Runtime(runtime, _) => runtime,
            Self::Kubernetes(_) => "kubernetes",
            Self::Unit(_) => "systemd",
        }
    }

    /// The container's short number, or the unit's name.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Runtime(_, id) | Self::Kubernetes(id) => id.get(..SHORT_ID_LEN).unwrap_or(id),
            Self::Unit(name) => name,
        }
    }
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unit(name) => f.write_str(name),
            Self::Runtime(..) | Self::Kubernetes(_) => write!(f, "{} {}", self.kind(), self.id()),
        }
    }
}

/// Prefixes of a scope's name, by runtime.
const SCOPES: [(&str, &str); 4] =
    [("docker-", "docker"), ("cri-containerd-", "containerd"), ("crio-", "cri-o"), ("libpod-", "podman")];

fn container(path: &str) -> Option<Container> {
    let mut parent = "";
    let mut found = None;
    for part in path.split('/') {
        let name = part.strip_suffix(".scope").unwrap_or(part);
        let scope =
            SCOPES.iter().find_map(|&(prefix, runtime)| Some((Some(runtime), name.strip_prefix(prefix)?)));
        // Not by systemd: `kubepods-besteffort-pod1.slice:cri-containerd:NUMBER`.
        let colon = || Some((Some("containerd"), name.rsplit_once(":cri-containerd:")?.1));
        let (runtime, id) = scope.or_else(colon).unwrap_or((None, name));
        if id.len() == WHOLE && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let id = id.to_owned();
            found = Some(match (runtime, parent) {
                (Some(runtime), _) => Container::Runtime(runtime, id),
                (None, "docker") => Container::Runtime("docker", id),
                (None, "libpod" | "libpod_parent") => Container::Runtime("podman", id),
                (None, pod) if pod.starts_with("pod") || path.contains("kubepods") => {
                    Container::Kubernetes(id)
                }
                (None, _) => Container::Runtime("containerd", id),
            });
        }
        parent = part;
    }
    found
}

/// The innermost service, or a scope that is no login session.
fn unit(path: &str) -> Option<Container> {
    let service = path.split('/').rfind(|part| part.ends_with(".service"));
    let scope = || path.split('/').rfind(|part| part.ends_with(".scope") && !part.starts_with("session-"));
    service.or_else(scope).filter(|name| *name != "init.scope").map(|name| Container::Unit(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a";

    fn shown(path: &str) -> Option<String> {
        Container::parse(&path.replace("ID", ID)).map(|container| container.to_string())
    }

    #[test]
    fn every_runtime_is_known_by_its_path() {
        let short = &ID[..12];
        for (path, runtime) in [
            ("0::/system.slice/docker-ID.scope\n", "docker"),
            ("12:cpu,cpuacct:/docker/ID\n11:memory:/docker/ID\n", "docker"),
            (
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-ID.scope\n",
                "containerd",
            ),
            (
                "0::/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:ID\n",
                "containerd",
            ),
            ("0::/kubepods.slice/kubepods-pod1.slice/crio-ID.scope/container\n", "cri-o"),
            ("0::/machine.slice/libpod-ID.scope/container\n", "podman"),
            ("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope\n", "podman"),
            ("4:memory:/kubepods/burstable/pod12-34/ID\n", "kubernetes"),
            ("0::/default/ID\n", "containerd"),
        ] {
            assert_eq!(shown(path), Some(format!("{runtime} {short}")), "{path}");
        }
    }

    #[test]
    fn a_unit_is_named_where_there_is_no_container() {
        assert_eq!(shown("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        let template = "1:name=systemd:/system.slice/system-postgresql.slice/postgresql@15-main.service\n";
        assert_eq!(shown(template).as_deref(), Some("postgresql@15-main.service"));
        for none in ["0::/\n", "0::/user.slice/user-0.slice/session-3.scope\n", "0::/init.scope\n", "", "x\n"]
        {
            assert_eq!(shown(none), None, "{none}");
        }
    }
}

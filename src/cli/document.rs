//! Texts about the program: usage, help, version, completions, the manual page.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, subcommand};
use crate::capture::libpcap_version;

pub(super) const USAGE: &str = "hsanalyze [OPTIONS] FILE...\n       hsanalyze [OPTIONS] -r FILE [FILTER]\n       hsanalyze [OPTIONS] -i IFACE [FILTER]\n       hsanalyze [OPTIONS] --follow FILE [FILTER]\n       hsanalyze <COMMAND>";

pub(super) const ABOUT: &str = "\
Tells from packets why TCP connections to a server fail, stall or lie.

hsanalyze reads captures, judges every attempt to connect by its packets, and explains: it names a listener whose \
accept queue overflows and which setting of tcp_abort_on_overflow the packets show, counts the retries, and says what \
the client's connect() believed.";

const VERDICTS: &str = "\
completed             the ACK was seen and nothing contradicts it
completed-late        the ACK was seen, but a segment had to be sent again first
synack-retransmitted  the server repeated SYN-ACK although the ACK had come
reset-after-ack       a bare RST answered the ACK
ack-ignored           ACK and data got no answer
refused               RST answered the SYN
unreachable           an ICMP error answered the SYN
unanswered            nothing answered the SYN
half-open             no valid ACK answered SYN-ACK
client-reset          the client answered SYN-ACK with RST
undetermined          the capture cannot say
problem               all but completed, undetermined and what is likely harmless (as a health check)";

const CAUSES: &str = "\
accept-queue-overflow  the listener's accept queue was full
defer-accept           TCP_DEFER_ACCEPT ignored the bare ACK on purpose
listener-closed        the listening socket was closed: a restart or a reload
syn-queue-overflow     the SYN queue was full, and SYN cookies are off
syn-limited            a full connection table, or a SYN limit of the host
old-connection         an older connection of the same ports is in the way
nat-mismatch           the answer left under another address
firewall-reset         something on the path sent the RST
two-answers            two machines answered one SYN
syn-lost               SYNs are lost or filtered on the way
synack-lost            the client did not get the SYN-ACK, or rejects it
ack-lost               the client's ACK was lost or filtered on the way
option-blocked         the path drops SYNs that carry some option
path-mtu               large packets are lost on the way, small ones are not
port-closed            nothing listens there
host-unreachable       the host cannot be reached
filtered               something drops or rejects the packets
syn-flood              many handshakes are begun and never finished
syn-scan               a port is probed, and no connection meant
health-check           a balancer or a monitor looks whether the port answers
client-gave-up         the client's program had given up before the SYN-ACK came
application-reset      the application reset an accepted connection";

const EXAMPLES: &str = "\
hsanalyze server.pcap
hsanalyze --verdict reset-after-ack,ack-ignored -v server.pcapng.zst
hsanalyze --cause syn-lost,ack-lost:likely --all server.pcap
hsanalyze -f 'port 443' rotated.pcap*
sudo hsanalyze -i eth0 port 443
sudo hsanalyze -i any --duration 10m --format ndjson -o attempts.ndjson
tcpdump -i eth0 -s 128 -w - 'tcp port 443' | hsanalyze -
hsanalyze --format json server.pcap | jq '.listeners[].diagnosis'
hsanalyze -r server.pcap port 443
hsanalyze -q --fail-on accept-queue-overflow:likely server.pcap || echo overflow
hsanalyze --baseline before.json --fail-on worse --format markdown after.pcap";

const EXIT_STATUS: &str = "\
0  the captures were analysed, whatever was found; a live capture was ended by a signal or a limit
1  --fail-on names a verdict or a cause that was found, or 'worse', which a server became
2  an error, a damaged capture, an interface that went away, packets that -w could not save: what could be read
   is still reported; or no attempt that --fail-on could judge";

/// The sections after the options, in `--help` and in the manual page.
const SECTIONS: [(&str, &str); 4] =
    [("VERDICTS", VERDICTS), ("CAUSES", CAUSES), ("EXIT STATUS", EXIT_STATUS), ("EXAMPLES", EXAMPLES)];

/// The sections as `--help` shows them.
pub(super) fn after_help() -> String {
    let sections = SECTIONS.map(|(title, text)| {
        let mut words = title.to_lowercase();
        if let Some(initial) = words.get_mut(..1) {
            initial.make_ascii_uppercase();
        }
        format!("{words}:\n{}", textwrap::indent(text, "  "))
    });
    sections.join("\n\n")
}

/// Program and libpcap with their versions.
pub(super) fn version() -> String {
    format!("hsanalyze {}\n{}\n", env!("CARGO_PKG_VERSION"), libpcap_version())
}

/// For those who gave no arguments at all.
pub(super) fn short_usage() -> String {
    format!(
        "Usage: {USAGE}\n\nFor example: hsanalyze server.pcap\n             tcpdump -w - tcp | hsanalyze -\n\nTry 'hsanalyze --help' for more."
    )
}

pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hsanalyze", &mut script);
    let script = String::from_utf8_lossy(&script);
    let interfaces = INTERFACES.iter().filter(|(of, ..)| *of == shell);
    interfaces
        .fold(script.into_owned(), |script, (_, files, names)| script.replace(files, names))
        .into_bytes()
}

/// A shell script's default for `-i`, and its replacement, which offers interface names: clap has no hint for them.
const INTERFACES: [(Shell, &str, &str); 4] = [
    (
        Shell::Bash,
        "--interface)\n                    COMPREPLY=($(compgen -f \"${cur}\"))",
        "--interface)\n                    COMPREPLY=($(compgen -W \"any $(ls /sys/class/net 2>/dev/null)\" -- \"${cur}\"))",
    ),
    (
        Shell::Bash,
        " -i)\n                    COMPREPLY=($(compgen -f \"${cur}\"))",
        " -i)\n                    COMPREPLY=($(compgen -W \"any $(ls /sys/class/net 2>/dev/null)\" -- \"${cur}\"))",
    ),
    (Shell::Zsh, ":IFACE:_default", ":IFACE:_net_interfaces"),
    (
        Shell::Fish,
        "by -D; \"any\" is all of them' -r",
        "by -D; \"any\" is all of them' -x -a '(__fish_print_interfaces) any'",
    ),
];

/// The commands that have a manual page of their own.
#[cfg(all(target_os = "linux", feature = "lab"))]
pub(super) const PAGES: [&str; 4] = ["listeners", "race", "size", "lab"];
#[cfg(not(all(target_os = "linux", feature = "lab")))]
pub(super) const PAGES: [&str; 3] = ["listeners", "race", "size"];

/// The manual page of the program, or of one of its commands.
pub(super) fn manual(command: Option<&str>) -> Vec<u8> {
    let mut page = Vec::new();
    // Writing to a vector cannot fail.
    let _ = match command {
        None => render_manual(&mut page),
        Some(name) => render_page_of(name, &mut page),
    };
    page
}

fn render_page_of(name: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    Man::new(subcommand(name)).manual("User Commands").render(page)?;
    see_also("hsanalyze(1), ss(8), listen(2), tcp(7)", page)
}

/// The program's own page. Its last sections are tables and commands, whose lines must stay as they are.
fn render_manual(page: &mut Vec<u8>) -> std::io::Result<()> {
    let command = Cli::command().after_long_help(None::<&str>).after_help(None::<&str>);
    let man = Man::new(command).manual("User Commands");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    // Not clap_mangen's section, which refers to a page for every command.
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    for command in Cli::command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        commands.control("TP", []).text([bold(command.get_name())]).text([roman(about)]);
    }
    commands.to_writer(page)?;
    for (title, text) in SECTIONS {
        let mut section = Roff::new();
        section.control("SH", [title]).control("nf", []);
        for line in text.lines() {
            section.text([roman(line)]);
        }
        section.control("fi", []);
        section.to_writer(page)?;
    }
    let pages: String = PAGES.map(|name| format!("hsanalyze-{name}(1), ")).concat();
    see_also(&format!("{pages}tcpdump(8), pcap-filter(7), ss(8), listen(2), tcp(7)"), page)
}

fn see_also(pages: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    Roff::new().control("SH", ["SEE ALSO"]).text([roman(pages)]).to_writer(page)
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;
    use crate::handshake::{Cause, Verdict};

    #[test]
    fn completions_offer_interfaces() {
        for (shell, _, names) in INTERFACES {
            let script = String::from_utf8(completions(shell)).unwrap();
            assert!(script.contains(names), "{shell}: {names}");
        }
    }

    #[test]
    fn help_has_every_verdict_and_cause_in_order() {
        fn words(text: &str) -> Vec<&str> {
            text.lines().filter_map(|line| line.split_whitespace().next()).collect()
        }
        let verdicts: Vec<&str> = Verdict::iter().map(Verdict::name).chain(["problem"]).collect();
        assert_eq!(words(VERDICTS), verdicts);
        assert_eq!(words(CAUSES), Cause::iter().map(Cause::name).collect::<Vec<_>>());
    }
}

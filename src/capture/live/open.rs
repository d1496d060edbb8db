//! Opens a device: chooses it, prepares it, and lists its clocks.

use std::ffi::c_int;

use ::pcap::{Active, Capture, Inactive, Linktype, Precision, TimestampType};

use super::error::LiveError;
use crate::capture::device::Device;
use crate::capture::filter::FilterError;
use crate::capture::options::{LiveOptions, TimeSource};
use crate::capture::{libpcap, trim};
use crate::packet::LinkType;

/// Time that the kernel may hold a packet back to hand over more at once, in milliseconds. libpcap wakes for each block
/// of the ring, so this bounds how late a verdict is, not how many packets are lost.
pub(super) const TIMEOUT_MS: u16 = 100;

/// The name of the device that `wanted` is the name or the number of.
pub(super) fn choose(wanted: &str, known: &[Device]) -> Result<String, LiveError> {
    if known.iter().any(|device| device.name == wanted) {
        return Ok(wanted.to_owned());
    }
    let number = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some(device) = number.and_then(|index| known.get(index)) {
        return Ok(device.name.clone());
    }
    // libpcap may be able to open a device although it cannot list any.
    if known.is_empty() {
        return Ok(wanted.to_owned());
    }
    let there_are = known.iter().map(|device| device.name.clone()).collect();
    Err(LiveError::UnknownDevice { device: wanted.to_owned(), there_are })
}

pub(super) fn prepare(device: &str, options: &LiveOptions) -> Result<Capture<Inactive>, ::pcap::Error> {
    let clamp = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let capture = Capture::from_device(device)?
        .snaplen(clamp(options.snap_length))
        .buffer_size(clamp(options.buffer))
        .timeout(i32::from(TIMEOUT_MS))
        .immediate_mode(false)
        .precision(Precision::Nano)
        // "any" has no promiscuous mode, and the `pcap` crate takes libpcap's warning of that for an error.
        .promisc(options.promiscuous && device != "any");
    Ok(match options.time_source {
        Some(source) => capture.tstamp_type(source.to_pcap()),
        None => capture,
    })
}

/// The time sources of a device; every device has the host's clock.
pub(super) fn time_sources(capture: &Capture<Inactive>) -> Vec<TimeSource> {
    let mut numbers = libpcap::time_stamp_types(capture);
    if numbers.is_empty() {
        numbers.push(TimestampType::Host as c_int);
    }
    TimeSource::ALL.into_iter().filter(|source| numbers.contains(&(source.to_pcap() as c_int))).collect()
}

/// Makes reads return at once. A blocking read would wait without end while nothing arrives: Linux wakes libpcap for
/// packets only.
#[cfg(target_os = "linux")]
pub(super) fn non_blocking(capture: Capture<Active>) -> Result<Capture<Active>, ::pcap::Error> {
    capture.setnonblock()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn non_blocking(capture: Capture<Active>) -> Result<Capture<Active>, ::pcap::Error> {
    Ok(capture)
}

/// Switches to version 2 of the cooked link type, which holds the interface of each packet; `any` gives version 1
/// unless asked.
pub(super) fn prefer_cooked_v2(capture: &mut Capture<Active>) {
    let v2 = Linktype(i32::from(LinkType::LINUX_SLL2.0));
    if link_of(capture) == LinkType::LINUX_SLL {
        // Without it interfaces are not told apart.
        let _ = capture.set_datalink(v2);
    }
}

/// Sets the kernel's filter. Returns messages about it, for verbose output.
pub(super) fn set_filter(
    capture: &mut Capture<Active>,
    device: &str,
    options: &LiveOptions,
) -> Result<Vec<String>, LiveError> {
    let link = link_of(capture);
    let user = options.filter.as_deref();
    if let Some(expression) = user {
        // Alone first, so that an error is about the user's expression.
        capture.compile(expression, true).map_err(|error| FilterError {
            expression: expression.to_owned(),
            link,
            reason: libpcap::message(&error),
        })?;
    }
    let mut notes = Vec::new();
    if options.trim {
        let trimmed = trim::expression(user, trim::mtu(device));
        match capture.filter(&trimmed, true) {
            Ok(()) => return Ok(vec![format!("kernel filter: {trimmed}")]),
            Err(error) => notes.push(format!(
                "bulk data is not kept out by the kernel: no such filter for link type {link} ({})",
                libpcap::message(&error)
            )),
        }
    }
    let Some(expression) = user else { return Ok(notes) };
    notes.push(format!("kernel filter: {expression}"));
    capture.filter(expression, true).map_err(|error| LiveError::Other {
        device: device.to_owned(),
        reason: format!("setting the filter: {}", libpcap::message(&error)),
    })?;
    Ok(notes)
}

pub(super) fn link_of(capture: &Capture<Active>) -> LinkType {
    LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        Device {
            name: name.to_owned(),
            description: None,
            addresses: Vec::new(),
            flags: Vec::new(),
            up: true,
        }
    }

    #[test]
    fn a_device_is_named_or_numbered() {
        let known = [device("eth0"), device("any"), device("7")];
        assert_eq!(choose("any", &known).unwrap(), "any");
        assert_eq!(choose("1", &known).unwrap(), "eth0");
        assert_eq!(choose("7", &known).unwrap(), "7", "a name comes before a number");
        assert_eq!(choose("eth9", &[]).unwrap(), "eth9", "nothing is known");
        for wrong in ["0", "4", "eth1", "-1"] {
            let message = choose(wrong, &known).unwrap_err().to_string();
            assert_eq!(message, format!("there is no interface '{wrong}'; there are: eth0, any, 7"));
        }
    }
}

//! `ip=` of the kernel's command line (Documentation/admin-guide/nfs/nfsroot.rst), for kernels that are built without it. It sets
//! given addresses; only a kernel's own implementation asks a DHCP server.
#![expect(
    clippy::disallowed_methods,
    reason = "reads /sys/class/net, writes /etc/resolv.conf, and waits for a link"
)]

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::sethostname;

use super::kernel_words;
use super::netlink::Netlink;

/// A kernel that implements `ip=` writes its name servers here.
const BY_KERNEL: &str = "/proc/net/pnp";
const LINKS: &str = "/sys/class/net";
const LOOPBACK: &str = "lo";
/// Two seconds in all: drivers find their devices while they are loaded, or a moment later.
const POLLS: usize = 100;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What is missing afterwards.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetworkFault {
    #[error("ip= has no address; anything but ip=ADDRESS::GATEWAY:MASK needs a kernel with CONFIG_IP_PNP")]
    NoAddress,
    #[error("ip= has {0} that is not valid")]
    Malformed(&'static str),
    #[error("there is no network link{}", if .0.is_empty() { String::new() } else { format!(" {}", .0) })]
    NoLink(String),
    #[error("cannot set {what}: {}", errno.desc())]
    Kernel { what: &'static str, errno: Errno },
    #[error("cannot write /etc/resolv.conf")]
    NameServers,
}

/// `ip=CLIENT:SERVER:GATEWAY:MASK:HOST:DEVICE:AUTOCONF:DNS0:DNS1` without the parts that only NFS and DHCP need.
#[derive(Debug, PartialEq, Eq)]
struct IpConfig<'a> {
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
    host: &'a str,
    device: &'a str,
    name_servers: Vec<Ipv4Addr>,
}

/// Sets the loopback up, and what `ip=` says unless the kernel has done so. Returns what failed.
pub(crate) fn bring_up(command_line: &str) -> Vec<NetworkFault> {
    let mut faults = Vec::new();
    let netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(errno) => return vec![NetworkFault::Kernel { what: "the network", errno }],
    };
    faults.extend(set_link_up(&netlink, LOOPBACK).err());
    let parameter = kernel_words(command_line).filter_map(|word| word.strip_prefix("ip=")).next_back();
    if let Some(parameter) = parameter.filter(|_| !Path::new(BY_KERNEL).exists()) {
        let applied = parse_ip(parameter).and_then(|config| apply(&netlink, &config));
        faults.extend(applied.err());
    }
    faults
}

fn parse_ip(text: &str) -> Result<IpConfig<'_>, NetworkFault> {
    let mut parts = text.split(':');
    let mut next = || parts.next().unwrap_or_default();
    let [client, _server, gateway, mask, host, device, _autoconf, first, second]: [&str; 9] =
        std::array::from_fn(|_| next());
    let address = |part: &str, what| match part {
        "" => Ok(None),
        part => part.parse::<Ipv4Addr>().map(Some).map_err(|_| NetworkFault::Malformed(what)),
    };
    // Nothing, or a word such as `dhcp` or `on`, which needs a server to ask.
    let Ok(client) = client.parse::<Ipv4Addr>() else { return Err(NetworkFault::NoAddress) };
    let prefix = match address(mask, "a mask")? {
        Some(mask) => prefix(mask).ok_or(NetworkFault::Malformed("a mask"))?,
        None => class_prefix(client),
    };
    let name_servers = [address(first, "a name server")?, address(second, "a name server")?];
    Ok(IpConfig {
        address: client,
        prefix,
        gateway: address(gateway, "a gateway")?,
        host,
        device,
        name_servers: name_servers.into_iter().flatten().collect(),
    })
}

/// Returns `None` for a mask with holes.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (ones == bits.count_ones()).then(|| u8::try_from(ones).ok()).flatten()
}

/// The prefix that the kernel assumes without a mask.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

fn apply(netlink: &Netlink, config: &IpConfig<'_>) -> Result<(), NetworkFault> {
    let failed = |what| move |errno| NetworkFault::Kernel { what, errno };
    if !config.host.is_empty() {
        sethostname(config.host).map_err(failed("the name of the machine"))?;
    }
    let name = wait_for_link(config.device)?;
    let link = set_link_up(netlink, &name)?;
    netlink.add_address(link, config.address, config.prefix).map_err(failed("the address"))?;
    if let Some(gateway) = config.gateway {
        netlink.add_default_route(link, gateway).map_err(failed("the gateway"))?;
    }
    if config.name_servers.is_empty() { Ok(()) } else { write_resolv_conf(&config.name_servers) }
}

/// Waits for the link with that name, or for the first that is not the loopback.
fn wait_for_link(device: &str) -> Result<String, NetworkFault> {
    for _ in 0..POLLS {
        let links = fs::read_dir(LINKS).into_iter().flatten();
        let mut names: Vec<String> =
            links.filter_map(|link| link.ok()?.file_name().into_string().ok()).collect();
        names.retain(|name| if device.is_empty() { name != LOOPBACK } else { name == device });
        // The first by name, so that the choice does not depend on the order of /sys.
        if let Some(name) = names.into_iter().min() {
            return Ok(name);
        }
        sleep(POLL_INTERVAL);
    }
    Err(NetworkFault::NoLink(device.to_owned()))
}

fn set_link_up(netlink: &Netlink, name: &str) -> Result<u32, NetworkFault> {
    let number = fs::read_to_string(Path::new(LINKS).join(name).join("ifindex")).ok();
    let number = number.and_then(|text| text.trim().parse().ok());
    let link = number.ok_or_else(|| NetworkFault::NoLink(name.to_owned()))?;
    netlink.set_link_up(link).map_err(|errno| NetworkFault::Kernel { what: "a link", errno })?;
    Ok(link)
}

fn write_resolv_conf(servers: &[Ipv4Addr]) -> Result<(), NetworkFault> {
    // mkinitramfs makes it a link to BY_KERNEL, which leads nowhere here and is replaced. A file of the image's own is kept.
    let path = Path::new("/etc/resolv.conf");
    if path.is_file() {
        return Ok(());
    }
    let _ = fs::remove_file(path);
    let text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write(path, text).map_err(|_| NetworkFault::NameServers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_notation_is_read() {
        let read = parse_ip("10.0.2.15::10.0.2.2:255.255.255.0:vm:eth0:off:10.0.2.3:10.0.2.4").unwrap();
        assert_eq!(read.address, Ipv4Addr::new(10, 0, 2, 15));
        assert_eq!((read.prefix, read.host, read.device), (24, "vm", "eth0"));
        assert_eq!(read.gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(read.name_servers.len(), 2);
        let short = parse_ip("192.168.1.2").unwrap();
        assert_eq!((short.prefix, short.gateway, short.device), (24, None, ""));
        assert_eq!(parse_ip("172.16.0.2:::255.255.255.252").unwrap().prefix, 30);
    }

    #[test]
    fn what_needs_a_kernel_is_reported() {
        for text in ["dhcp", "on", "", ":::::eth0:dhcp"] {
            assert_eq!(parse_ip(text), Err(NetworkFault::NoAddress), "{text}");
        }
        assert_eq!(parse_ip("10.0.0.1:::255.0.255.0"), Err(NetworkFault::Malformed("a mask")));
        assert_eq!(parse_ip("10.0.0.1::gate"), Err(NetworkFault::Malformed("a gateway")));
        assert_eq!(NetworkFault::NoLink(String::new()).to_string(), "there is no network link");
        assert_eq!(NetworkFault::NoLink("eth7".into()).to_string(), "there is no network link eth7");
    }
}

// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//
// Segments of TCP handshakes that the kernel drops, each with its reason, and SYN-ACKs that it sends again.
//
// Needs Linux 5.8 with BTF (ring buffer, tp_btf); the socket argument of kfree_skb exists since 6.11. Structures are
// declared as far as they are read: CO-RE relocates the fields to those of the running kernel.
// scripts/bpf compiles it to bpf/handshake.bpf.o, which is committed and compared by CI.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))
#define READ(field) __builtin_preserve_access_index(&(field))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static void *(*bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static u64 (*bpf_ringbuf_query)(void *ring, u64 flags) = (void *)134;

struct ns_common {
	u32 inum;
} CORE;

struct net {
	struct ns_common ns;
} CORE;

typedef struct {
	struct net *net;
} CORE possible_net_t;

struct in6_addr {
	u8 bytes[16];
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	u8 skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} CORE;

struct sock {
	struct sock_common __sk_common;
} CORE;

struct request_sock {
	struct sock_common __req_common;
} CORE;


struct net_device {
	possible_net_t nd_net;
} CORE;

struct sk_buff {
	struct net_device *dev;
	u16 protocol;
	u16 network_header;
	u8 *head;
} CORE;

enum { IPV4 = 4, IPV6 = 6, AF_INET6 = 10, IPPROTO_TCP = 6, SYN = 2, RST = 4, TCP_LISTEN = 10 };
// Values of `wanted`, by reason: all segments; those with SYN, and those without that a LISTEN socket got; all while half of
// the ring is free, so that a firewall that drops data does not crowd out full queues.
enum { WANT_ALL = 1, WANT_SYN_OR_LISTENER = 2, WANT_IF_ROOM = 3 };
// Values of `event.kind`.
enum { DROPPED = 1, SYNACK_RETRANSMITTED = 2 };

// Layout that `event` in src/kernel/segment_events.rs reads.
struct event {
	u64 at;
	u32 reason;
	u32 netns;
	u32 seq;
	u32 ack;
	u16 source_port;
	u16 destination_port;
	u8 kind;
	u8 family;
	u8 flags;
	u8 socket_state;
	u8 source[16];
	u8 destination[16];
};

#define REASONS 512
// Bytes of the ring: 16,384 events between two readings, a second apart.
#define RING (1 << 20)
#define AVAILABLE_DATA 0 /* BPF_RB_AVAIL_DATA */

struct {
	__uint(type, 2 /* BPF_MAP_TYPE_ARRAY */);
	__uint(max_entries, REASONS);
	__type(key, u32);
	__type(value, u32);
} wanted SEC(".maps");

struct {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

// Inode of the only network namespace that is wanted; 0 for all.
struct {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} only SEC(".maps");

struct {
	__uint(type, 27 /* BPF_MAP_TYPE_RINGBUF */);
	__uint(max_entries, RING);
} events SEC(".maps");

// The namespace's inode, given where the pointer to it is.
static __attribute__((always_inline)) u32 inode(const void *place)
{
	struct net *net = 0;
	u32 inum = 0;

	bpf_probe_read_kernel(&net, sizeof(net), place);
	if (net)
		bpf_probe_read_kernel(&inum, sizeof(inum), READ(net->ns.inum));
	return inum;
}

static __attribute__((always_inline)) int is_wanted(u32 netns)
{
	u32 zero = 0;
	u32 *one = bpf_map_lookup_elem(&only, &zero);

	return !one || *one == 0 || *one == netns;
}

static __attribute__((always_inline)) void count_lost(void)
{
	u32 zero = 0;
	u64 *count = bpf_map_lookup_elem(&lost, &zero);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static __attribute__((always_inline)) struct event *reserve(void)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		count_lost();
	return event;
}

SEC("tp_btf/kfree_skb")
int segment_dropped(u64 *arguments)
{
	struct sk_buff *skb = (void *)arguments[0];
	u32 reason = (u32)arguments[2];
	struct sock *sk;
	struct net_device *dev = 0;
	struct event *event;
	u8 *head = 0;
	u16 offset = 0, protocol = 0;
	u8 ip[40], tcp[20];
	u32 *want, netns = 0, length;
	u8 state = 0;

	want = bpf_map_lookup_elem(&wanted, &reason);
	if (!want || *want == 0)
		return 0;
	sk = (void *)arguments[3];
	bpf_probe_read_kernel(&head, sizeof(head), READ(skb->head));
	bpf_probe_read_kernel(&offset, sizeof(offset), READ(skb->network_header));
	bpf_probe_read_kernel(&protocol, sizeof(protocol), READ(skb->protocol));
	if (protocol == __builtin_bswap16(0x0800)) {
		if (bpf_probe_read_kernel(ip, 20, head + offset) || ip[9] != IPPROTO_TCP)
			return 0;
		length = (ip[0] & 15) * 4;
	} else if (protocol == __builtin_bswap16(0x86dd)) {
		// Handshakes carry no extension headers but in exotic networks.
		if (bpf_probe_read_kernel(ip, 40, head + offset) || ip[6] != IPPROTO_TCP)
			return 0;
		length = 40;
	} else {
		return 0;
	}
	if (bpf_probe_read_kernel(tcp, sizeof(tcp), head + offset + length))
		return 0;
	if (tcp[13] & RST)
		return 0;
	if (sk) {
		netns = inode(READ(sk->__sk_common.skc_net.net));
		bpf_probe_read_kernel(&state, sizeof(state), READ(sk->__sk_common.skc_state));
	} else {
		bpf_probe_read_kernel(&dev, sizeof(dev), READ(skb->dev));
		if (dev)
			netns = inode(READ(dev->nd_net.net));
	}
	if (*want == WANT_SYN_OR_LISTENER && !(tcp[13] & SYN) && state != TCP_LISTEN)
		return 0;
	if (!is_wanted(netns))
		return 0;
	if (*want != WANT_ALL && bpf_ringbuf_query(&events, AVAILABLE_DATA) > RING / 2) {
		count_lost();
		return 0;
	}
	event = reserve();
	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->at = bpf_ktime_get_ns();
	event->reason = reason;
	event->netns = netns;
	event->kind = DROPPED;
	event->socket_state = state;
	event->flags = tcp[13];
	event->source_port = tcp[0] << 8 | tcp[1];
	event->destination_port = tcp[2] << 8 | tcp[3];
	event->seq = (u32)tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7];
	event->ack = (u32)tcp[8] << 24 | tcp[9] << 16 | tcp[10] << 8 | tcp[11];
	if (length == 40 && ip[0] >> 4 == IPV6) {
		event->family = IPV6;
		__builtin_memcpy(event->source, ip + 8, 16);
		__builtin_memcpy(event->destination, ip + 24, 16);
	} else {
		event->family = IPV4;
		__builtin_memcpy(event->source, ip + 12, 4);
		__builtin_memcpy(event->destination, ip + 16, 4);
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("tp_btf/tcp_retransmit_synack")
int synack_retransmitted(u64 *arguments)
{
	struct sock *sk = (void *)arguments[0];
	struct request_sock *request = (void *)arguments[1];
	struct event *event;
	u32 netns = inode(READ(sk->__sk_common.skc_net.net));
	u16 family = 0, port = 0;

	if (!is_wanted(netns))
		return 0;
	event = reserve();
	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->at = bpf_ktime_get_ns();
	event->netns = netns;
	event->kind = SYNACK_RETRANSMITTED;
	// From the server to the client.
	bpf_probe_read_kernel(&event->source_port, 2, READ(request->__req_common.skc_num));
	bpf_probe_read_kernel(&port, 2, READ(request->__req_common.skc_dport));
	event->destination_port = __builtin_bswap16(port);
	bpf_probe_read_kernel(&family, sizeof(family), READ(request->__req_common.skc_family));
	if (family == AF_INET6) {
		event->family = IPV6;
		bpf_probe_read_kernel(event->source, 16, READ(request->__req_common.skc_v6_rcv_saddr));
		bpf_probe_read_kernel(event->destination, 16, READ(request->__req_common.skc_v6_daddr));
	} else {
		event->family = IPV4;
		bpf_probe_read_kernel(event->source, 4, READ(request->__req_common.skc_rcv_saddr));
		bpf_probe_read_kernel(event->destination, 4, READ(request->__req_common.skc_daddr));
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";

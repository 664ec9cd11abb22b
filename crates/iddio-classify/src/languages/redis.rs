//! Commands of Redis: what each does to the data, to the server, and to others.
//!
//! A command that is not in the table is tier 3. Lua is a language that nobody reads here.

use iddio_core::tier::{
    Class::{self, Destroy, Evasion, Identity, Unknown},
    Tier,
};

use super::{Findings, client};
use crate::command::line::Term;

/// Judges commands: the words of one, or one word that is text with one in each line.
pub(super) fn judge(words: &[Term]) -> Findings {
    let mut findings = Findings::default();
    if let [text] = words {
        return client::each(std::slice::from_ref(text), |text, findings| {
            for line in text.lines() {
                let words: Vec<_> =
                    line.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
                command(&words, findings);
            }
        });
    }
    match words.first().map(Term::as_str) {
        Some(Some(_)) => {
            // An argument that only the run knows is a name or a value: what is done is known.
            let words: Vec<_> = words.iter().map(|word| word.as_str().unwrap_or("?")).collect();
            command(&words, &mut findings);
        }
        _ => findings.join(Findings::unread("a command that only the run knows")),
    }
    findings
}

fn command(words: &[&str], findings: &mut Findings) {
    let upper: Vec<_> = words.iter().take(HEAD_MAX).map(|word| word.to_ascii_uppercase()).collect();
    let mut upper: Vec<_> = upper.iter().map(String::as_str).collect();
    // `5 INCR x` runs a command five times.
    if upper.first().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit())) {
        upper.rotate_left(1);
    }
    let (name, sub) = (upper.first().copied(), upper.get(1).copied().unwrap_or(""));
    let Some(name) = name.filter(|name| !name.is_empty() && !name.starts_with('#')) else { return };
    // The address behind `--cluster check`: no command has a colon.
    if name.contains(':') {
        return;
    }
    let (tier, class, text) = match (name, sub) {
        ("CONFIG", "GET") => match words.iter().skip(2).any(|word| reveals(word)) {
            true => (Tier::Sensitive, Identity, "shows a password of the server"),
            false => return,
        },
        ("SORT" | "GEORADIUS" | "GEORADIUSBYMEMBER", _)
            if upper.iter().any(|word| matches!(*word, "STORE" | "STOREDIST")) =>
        {
            (Tier::Modify, Unknown, "writes keys")
        }
        _ => {
            let pair = format!("{name} {sub}");
            let fits = |table: &[&str]| table.contains(&pair.as_str()) || table.contains(&name);
            let found = COMMANDS.iter().find(|(table, ..)| table.contains(&pair.as_str()));
            match found.or_else(|| COMMANDS.iter().find(|(table, ..)| fits(table))) {
                Some((_, tier, class, text)) => (*tier, *class, *text),
                None => (Tier::Sensitive, Unknown, "a command of Redis that nobody looked at"),
            }
        }
    };
    if tier != Tier::Observe {
        findings.add(tier, class, "redis:command", text);
    }
}

/// Whether a pattern of settings covers one that is a password.
fn reveals(pattern: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    pattern.contains(['*', '?', '[']) || pattern.contains("pass") || pattern.contains("auth")
}

type Group = (&'static [&'static str], Tier, Class, &'static str);

/// A pair of words goes before a word alone.
const COMMANDS: &[Group] = &[
    (READS, Tier::Observe, Unknown, "reads"),
    (WRITES, Tier::Modify, Unknown, "writes keys"),
    (
        &["DEL", "UNLINK", "GETDEL", "XDEL", "XTRIM", "XGROUP DESTROY"],
        Tier::Sensitive,
        Destroy,
        "deletes keys",
    ),
    (
        &["FLUSHALL", "FLUSHDB", "SWAPDB"],
        Tier::BreakGlass,
        Destroy,
        "deletes or exchanges a whole database",
    ),
    (
        &["SHUTDOWN", "DEBUG", "FAILOVER", "CLUSTER", "SENTINEL"],
        Tier::BreakGlass,
        Destroy,
        "stops or rearranges the server",
    ),
    (
        &["SLAVEOF", "REPLICAOF", "SYNC", "PSYNC"],
        Tier::BreakGlass,
        Evasion,
        "replicates to or from another server",
    ),
    (
        &["CONFIG", "MODULE", "FUNCTION"],
        Tier::BreakGlass,
        Evasion,
        "changes what the server writes or runs",
    ),
    (&["EVAL", "EVAL_RO"], Tier::BreakGlass, Unknown, "a program that nobody reads"),
    (&["ACL"], Tier::BreakGlass, Identity, "changes who may do what"),
    (&["ACL LIST", "ACL GETUSER"], Tier::Sensitive, Identity, "shows hashes of passwords"),
    (
        &["EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO", "SCRIPT"],
        Tier::Sensitive,
        Unknown,
        "runs or changes a stored program",
    ),
    (
        &[
            "MONITOR",
            "MIGRATE",
            "RESTORE",
            "CLIENT KILL",
            "CLIENT PAUSE",
            "CONFIG REWRITE",
            "CONFIG RESETSTAT",
            "SLOWLOG RESET",
            "RESTORE-ASKING",
        ],
        Tier::Sensitive,
        Unknown,
        "touches what others do, or moves data elsewhere",
    ),
];

const READS: &[&str] = &[
    "ACL CAT",
    "ACL GENPASS",
    "ACL HELP",
    "ACL LOG",
    "ACL USERS",
    "ACL WHOAMI",
    "AUTH",
    "BITCOUNT",
    "BITFIELD_RO",
    "BITPOS",
    "CLIENT GETNAME",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLUSTER COUNTKEYSINSLOT",
    "CLUSTER GETKEYSINSLOT",
    "CLUSTER INFO",
    "CLUSTER KEYSLOT",
    "CLUSTER LINKS",
    "CLUSTER MYID",
    "CLUSTER NODES",
    "CLUSTER REPLICAS",
    "CLUSTER SHARDS",
    "CLUSTER SLOTS",
    "COMMAND",
    "DBSIZE",
    "DISCARD",
    "DUMP",
    "ECHO",
    "EXEC",
    "EXISTS",
    "EXPIRETIME",
    "FUNCTION LIST",
    "FUNCTION STATS",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEORADIUS",
    "GEORADIUSBYMEMBER",
    "GEORADIUSBYMEMBER_RO",
    "GEORADIUS_RO",
    "GEOSEARCH",
    "GET",
    "GETBIT",
    "GETRANGE",
    "HELLO",
    "HELP",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HRANDFIELD",
    "HSCAN",
    "HSTRLEN",
    "HTTL",
    "HVALS",
    "INFO",
    "KEYS",
    "LASTSAVE",
    "LATENCY",
    "LCS",
    "LINDEX",
    "LLEN",
    "LOLWUT",
    "LPOS",
    "LRANGE",
    "MEMORY",
    "MGET",
    "MODULE LIST",
    "MULTI",
    "OBJECT",
    "PEXPIRETIME",
    "PFCOUNT",
    "PING",
    "PSUBSCRIBE",
    "PTTL",
    "PUBSUB",
    "QUIT",
    "RANDOMKEY",
    "ROLE",
    "SCAN",
    "SCARD",
    "SCRIPT EXISTS",
    "SDIFF",
    "SELECT",
    "SENTINEL CKQUORUM",
    "SENTINEL GET-MASTER-ADDR-BY-NAME",
    "SENTINEL MASTER",
    "SENTINEL MASTERS",
    "SENTINEL REPLICAS",
    "SENTINEL SENTINELS",
    "SENTINEL SLAVES",
    "SINTER",
    "SINTERCARD",
    "SISMEMBER",
    "SLOWLOG",
    "SMEMBERS",
    "SMISMEMBER",
    "SORT",
    "SORT_RO",
    "SRANDMEMBER",
    "SSCAN",
    "SSUBSCRIBE",
    "STRLEN",
    "SUBSCRIBE",
    "SUBSTR",
    "SUNION",
    "TIME",
    "TOUCH",
    "TTL",
    "TYPE",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WAIT",
    "WATCH",
    "XINFO",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREAD",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZDIFF",
    "ZINTER",
    "ZINTERCARD",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANDMEMBER",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREVRANGE",
    "ZREVRANGEBYLEX",
    "ZREVRANGEBYSCORE",
    "ZREVRANK",
    "ZSCAN",
    "ZSCORE",
    "ZUNION",
    "JSON.GET",
    "JSON.MGET",
    "JSON.TYPE",
    "FT.INFO",
    "FT.SEARCH",
    "TS.GET",
    "TS.RANGE",
];

const WRITES: &[&str] = &[
    "APPEND",
    "BGREWRITEAOF",
    "BGSAVE",
    "BITFIELD",
    "BITOP",
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "CLIENT",
    "COPY",
    "DECR",
    "DECRBY",
    "EXPIRE",
    "EXPIREAT",
    "GEOADD",
    "GEOSEARCHSTORE",
    "GETEX",
    "GETSET",
    "HDEL",
    "HEXPIRE",
    "HINCRBY",
    "HINCRBYFLOAT",
    "HMSET",
    "HPERSIST",
    "HSET",
    "HSETNX",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "LATENCY RESET",
    "LINSERT",
    "LMOVE",
    "LMPOP",
    "LPOP",
    "LPUSH",
    "LPUSHX",
    "LREM",
    "LSET",
    "LTRIM",
    "MEMORY PURGE",
    "MOVE",
    "MSET",
    "MSETNX",
    "PERSIST",
    "PEXPIRE",
    "PEXPIREAT",
    "PFADD",
    "PFMERGE",
    "PSETEX",
    "PUBLISH",
    "RENAME",
    "RENAMENX",
    "RPOP",
    "RPOPLPUSH",
    "RPUSH",
    "RPUSHX",
    "SADD",
    "SAVE",
    "SDIFFSTORE",
    "SET",
    "SETBIT",
    "SETEX",
    "SETNX",
    "SETRANGE",
    "SINTERSTORE",
    "SMOVE",
    "SPOP",
    "SPUBLISH",
    "SREM",
    "SUNIONSTORE",
    "XACK",
    "XADD",
    "XAUTOCLAIM",
    "XCLAIM",
    "XGROUP",
    "XREADGROUP",
    "XSETID",
    "ZADD",
    "ZDIFFSTORE",
    "ZINCRBY",
    "ZINTERSTORE",
    "ZMPOP",
    "ZPOPMAX",
    "ZPOPMIN",
    "ZRANGESTORE",
    "ZREM",
    "ZREMRANGEBYLEX",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "ZUNIONSTORE",
    "JSON.SET",
    "TS.ADD",
];

/// As many words of a command are looked at.
const HEAD_MAX: usize = 64;

-- Shows in Wireshark what hsanalyze found: a tree and columns with the verdict of the attempt that a packet belongs to.
--
--   hsanalyze --format ndjson -o report.ndjson capture.pcap
--   HSANALYZE_REPORT=report.ndjson wireshark -X lua_script:hsanalyze.lua capture.pcap
--
-- Or copy this file to the personal Lua plugins folder (Help > About Wireshark > Folders), and name the report in
-- Edit > Preferences > Protocols > HSANALYZE. A report in --format json will do, too.
--
-- Fields, for display filters and columns (right click > Apply as Column): hsanalyze.verdict, hsanalyze.cause,
-- hsanalyze.confidence, hsanalyze.connect (what connect() returned), hsanalyze.attempt (the number of the attempt in the
-- report), hsanalyze.problem.

local proto = Proto("hsanalyze", "Handshake analysis (hsanalyze)")

local fields = {
  verdict = ProtoField.string("hsanalyze.verdict", "Verdict"),
  cause = ProtoField.string("hsanalyze.cause", "Cause"),
  confidence = ProtoField.string("hsanalyze.confidence", "Confidence"),
  connect = ProtoField.string("hsanalyze.connect", "Result of connect()"),
  attempt = ProtoField.uint32("hsanalyze.attempt", "Attempt"),
  problem = ProtoField.bool("hsanalyze.problem", "Problem"),
}
for _, field in pairs(fields) do
  table.insert(proto.fields, field)
end
proto.prefs.report = Pref.string("Report", "", "File that hsanalyze --format ndjson or json has written")

-- JSON, as far as hsanalyze writes it: returns the value that begins at `at`, and the place after it.
local decode
do
  local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

  local function skip(text, at)
    return text:match("^%s*()", at)
  end

  local function decode_string(text, at)
    local parts = {}
    while true do
      local plain, stop = text:match('^([^"\\]*)()', at)
      parts[#parts + 1] = plain
      local mark = text:sub(stop, stop)
      if mark == '"' then
        return table.concat(parts), stop + 1
      elseif mark ~= "\\" then
        error("a string without an end")
      end
      local escaped = text:sub(stop + 1, stop + 1)
      if escaped == "u" then
        -- Names and addresses are ASCII; anything else is of no use here.
        parts[#parts + 1] = "?"
        at = stop + 6
      else
        parts[#parts + 1] = escapes[escaped] or escaped
        at = stop + 2
      end
    end
  end

  -- The members of an object or the items of an array, up to `close`.
  local function decode_list(text, at, close, member)
    local list = {}
    at = skip(text, at)
    if text:sub(at, at) == close then
      return list, at + 1
    end
    while true do
      at = member(list, skip(text, at))
      at = skip(text, at)
      local mark = text:sub(at, at)
      if mark == close then
        return list, at + 1
      elseif mark ~= "," then
        error("'" .. close .. "' expected at byte " .. at)
      end
      at = at + 1
    end
  end

  local literals = { ["true"] = true, ["false"] = false }

  function decode(text, at)
    at = skip(text, at)
    local first = text:sub(at, at)
    if first == '"' then
      return decode_string(text, at + 1)
    elseif first == "{" then
      return decode_list(text, at + 1, "}", function(object, place)
        local key, after = decode_string(text, place + 1)
        object[key], after = decode(text, text:match("^%s*:()", after))
        return after
      end)
    elseif first == "[" then
      return decode_list(text, at + 1, "]", function(array, place)
        local value, after = decode(text, place)
        -- A null leaves no hole.
        array[#array + 1] = value == nil and "null" or value
        return after
      end)
    end
    local word, after = text:match("^(%l+)()", at)
    if word then
      return literals[word], after
    end
    local number, stop = text:match("^(-?[%d.eE+-]+)()", at)
    return tonumber(number), stop
  end
end

-- Seconds since 1970 of an RFC 3339 time in UTC, whatever the time zone of this machine.
local function seconds(time)
  local year, month, day, hour, minute, second = time:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z$")
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  -- Days of the civil calendar, counted from March.
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 1 - 719468
  return days * 86400 + hour * 3600 + minute * 60 + second
end

-- Attempts by flow, each list in order of time.
local attempts = {}

local function flow(a, a_port, b, b_port)
  local one, other = a .. " " .. a_port, b .. " " .. b_port
  return one < other and one .. " " .. other or other .. " " .. one
end

local function add(attempt, number)
  local key = flow(attempt.client_ip, attempt.client_port, attempt.server_ip, attempt.server_port)
  attempts[key] = attempts[key] or {}
  table.insert(attempts[key], {
    number = number,
    start = seconds(attempt.start),
    verdict = attempt.verdict,
    cause = attempt.cause,
    confidence = attempt.confidence,
    connect = attempt.connect and attempt.connect.outcome,
  })
end

local function load(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  local at, number = 1, 0
  while text:find("%S", at) do
    local object
    object, at = decode(text, at)
    -- One document has them all; of ndjson each is a line of its own.
    local list = {}
    if object.type == "attempt" then
      list = { object }
    elseif object.type == nil then
      list = object.attempts or error("no report of hsanalyze: no attempts in it")
    end
    for _, attempt in ipairs(list) do
      number = number + 1
      add(attempt, number)
    end
  end
  for _, list in pairs(attempts) do
    table.sort(list, function(a, b)
      return a.start < b.start
    end)
  end
end

function proto.init()
  attempts = {}
  local path = os.getenv("HSANALYZE_REPORT") or proto.prefs.report
  if path and path ~= "" then
    load(path)
  end
end

local source, destination = Field.new("ip.src"), Field.new("ip.dst")
local source_v6, destination_v6 = Field.new("ipv6.src"), Field.new("ipv6.dst")
local source_port, destination_port = Field.new("tcp.srcport"), Field.new("tcp.dstport")

-- The attempt that the innermost TCP segment of a packet belongs to.
local function attempt_of(time)
  local function last(...)
    for _, field in ipairs({ ... }) do
      local all = { field() }
      if #all > 0 then
        return tostring(all[#all].value)
      end
    end
  end
  local from, to = last(source, source_v6), last(destination, destination_v6)
  local from_port, to_port = last(source_port), last(destination_port)
  if not (from and to and from_port and to_port) then
    return nil
  end
  local found
  -- A refusal may be captured a little before the SYN that it answers.
  for index, attempt in ipairs(attempts[flow(from, from_port, to, to_port)] or {}) do
    if index == 1 or attempt.start <= time + 0.000001 then
      found = attempt
    end
  end
  return found
end

local harmless = { completed = true, undetermined = true }

function proto.dissector(buffer, packet, tree)
  local attempt = attempt_of(packet.abs_ts)
  if not attempt then
    return
  end
  local shown = tree:add(proto, buffer(0, 0))
  shown:append_text(": " .. attempt.verdict)
  for _, name in ipairs({ "verdict", "cause", "confidence", "connect" }) do
    if attempt[name] then
      shown:add(fields[name], attempt[name]):set_generated()
    end
  end
  shown:add(fields.attempt, attempt.number):set_generated()
  shown:add(fields.problem, not harmless[attempt.verdict]):set_generated()
end

register_postdissector(proto)

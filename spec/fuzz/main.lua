--- Fuzzes targets, each in a process of its own, and prints a table; started by scripts/fuzz.
--
--     fsam-lua spec/fuzz/main.lua LIMIT [TARGET] [SEED]
--
-- LIMIT is seconds, shared by the targets, or executions of each ("1000000x"). Owns: starting the
-- processes, and the findings that end one: a signal, a hang. Leaves to others: all other findings
-- (loop.lua). The findings go to $FSAM_FUZZ_FINDINGS (spec/fuzz/findings). Exit code: 1 with
-- findings.
local bundles = require("spec.fuzz.bundle")
local errors = require("fsam.errors")
local ffi = require("ffi")
local files = require("fsam.base.file")
local lfs = require("lfs")
local process = require("spec.fuzz.process")

local MOST_DEATHS = 20 -- of one target's processes

local SIGNALS = { [6] = "SIGABRT", [7] = "SIGBUS", [8] = "SIGFPE", [9] = "SIGKILL",
  [11] = "SIGSEGV", [14] = "a hang, waiting", [27] = "a hang, computing" }

local function quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function targets()
  local names = {}
  for entry in lfs.dir("spec/fuzz/targets") do
    names[#names + 1] = entry:match("^(.+)%.lua$")
  end
  table.sort(names)
  return names
end

-- Keeps the input that ended a process.
local function keep(name, shared, reason, findings)
  local bundle = bundles.decode(ffi.string(shared.input, shared.length))
  local path = ("%s/%s-%s"):format(findings, name, bundles.hash(bundles.encode(bundle, name)))
  files.write(path, bundles.encode(bundle, name, reason))
  shared.findings = shared.findings + 1
  shared.is_running = 0
  print(("  %s: %s"):format(path, reason))
end

-- Runs the process of a target, again after each death, with another seed. Returns false after
-- Ctrl-C.
local function run(name, seed, limit, place, findings)
  local path, folder = place .. "/" .. name .. ".shared", place .. "/" .. name
  files.make_folder(folder)
  local shared = process.shared(path)
  local started, deaths = os.time(), 0
  while true do
    local left = limit:find("x$") and limit
      or tostring(math.max(0, tonumber(limit) - os.difftime(os.time(), started)))
    local words = { arg[-1], "spec/fuzz/child.lua", name, seed + 1000 * deaths, left, path, folder,
      findings }
    for i, word in ipairs(words) do
      words[i] = quote(word)
    end
    local status = os.execute("exec " .. table.concat(words, " "))
    local signal, code = status % 128, math.floor(status / 256)
    signal = signal > 0 and signal or code > 128 and code - 128 or 0
    if status == 0 then
      return shared
    elseif signal == 2 then
      return shared, "interrupted"
    elseif shared.is_running == 0 then
      errors.raise("the process of %s ended with %d outside an input", name, status)
    end
    keep(name, shared, signal > 0 and (SIGNALS[signal] or "signal " .. signal)
      or "the process ended with " .. code, findings)
    deaths = deaths + 1
    if deaths >= MOST_DEATHS then
      return shared
    end
  end
end

local function line(name, shared, seconds)
  print(("%-14s %10d %10d %10d %8d %8.2f %8.0f %10.0f"):format(name, shared.executions,
    shared.accepted, shared.refused, shared.findings, shared.worst, shared.peak_mb,
    shared.executions / math.max(seconds, 1)))
  io.flush()
end

local limit, only, seed = arg[1] or "60", arg[2], tonumber(arg[3] or "1")
local names = targets()
if not limit:find("^%d+x?$") then
  errors.raise("scripts/fuzz: %s is neither seconds nor executions (1000x)", limit)
elseif not seed then
  errors.raise("scripts/fuzz: the seed %s is not a number", arg[3])
elseif only and only ~= "all" then
  local known = false
  for _, name in ipairs(names) do
    known = known or name == only
  end
  if not known then
    errors.unknown("scripts/fuzz: the target", only, names)
  end
  names = { only }
end
if not limit:find("x$") then
  limit = tostring(math.max(1, math.floor(tonumber(limit) / #names)))
end
local findings = os.getenv("FSAM_FUZZ_FINDINGS") or "spec/fuzz/findings"
files.make_folder(findings)
local place = os.getenv("FSAM_FUZZ_PLACE")
print(("seed %d, %s each\n%-14s %10s %10s %10s %8s %8s %8s %10s"):format(seed,
  limit:find("x$") and limit:gsub("x", " executions") or limit .. " s", "target", "executions",
  "accepted", "refused", "findings", "worst s", "peak MB", "each s"))
local total = 0
for _, name in ipairs(names) do
  local started = os.time()
  local shared, stopped = run(name, seed, limit, place, findings)
  line(name, shared, os.difftime(os.time(), started))
  total = total + shared.findings
  if stopped then
    os.exit(130)
  end
end
lfs.rmdir(findings) -- where it is empty
os.exit(total > 0 and 1 or 0)

--- Fuzzes one target until a time or a number of executions is reached; started by main.lua.
--
--     fsam-lua spec/fuzz/child.lua TARGET SEED LIMIT SHARED FOLDER FINDINGS
--
-- LIMIT is seconds ("60") or executions ("1000x"). Each finding becomes a file in FINDINGS.
local bundles = require("spec.fuzz.bundle")
local devices = require("fsam.base.device")
local loop = require("spec.fuzz.loop")
local process = require("spec.fuzz.process")

local name, seed, limit, shared, folder, findings = unpack(arg)

devices.threads(1)
collectgarbage("setpause", 400) -- time is short here, memory is not

local function found(reason, bundle)
  local text = bundles.encode(bundle, name, reason)
  local path = ("%s/%s-%s"):format(findings, name, bundles.hash(bundles.encode(bundle, name)))
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  io.write(("  %s: %s\n"):format(path, reason:sub(1, 300)))
  io.flush()
end

local this = loop.new({ name = name, seed = tonumber(seed), folder = folder, found = found,
  shared = process.shared(shared) })
local executions = tonumber(limit:match("^(%d+)x$"))
local ends = not executions and os.time() + tonumber(limit)
while executions and this.shared.executions < executions or ends and os.time() < ends do
  this:next()
end

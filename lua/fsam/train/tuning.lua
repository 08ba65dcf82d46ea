--- Which algorithms a GPU's matrix products use, and whose kernels attention without dropout. With
-- --tune they are chosen by timing; the run folder keeps the choices (tuning.json), so that a
-- continued run uses the same. Without --tune the matrix library's choice depends on a product's
-- shape alone, and attention is our own. Owns: the file, and what a checkpoint remembers of it.
-- Leaves to others: the choosing (kernels/vendor).
local C = require("fsam.C")
local file = require("fsam.base.file")
local fingerprint = require("fsam.base.fingerprint")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

--- The library's text as JSON. Its first line says for which machine and library the others are.
function M.encode(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return json.encode({ made_for = table.remove(lines, 1), algorithms = lines },
    { indent = true, order = { "made_for", "algorithms" } }) .. "\n"
end

local WRITTEN = schema.record({ made_for = schema.string,
  algorithms = schema.list(schema.string) })

--- The inverse of encode; nil for a text that encode did not write.
function M.decode(content)
  local ok, value = pcall(json.decode, content)
  if not ok or WRITTEN(value, "tuning") then
    return nil
  end
  return value.made_for .. "\n" .. table.concat(value.algorithms, "\n") .. "\n"
end

-- The library's text as it now is; "" where nothing is tuned.
local function text_of(device)
  local text = ffi.new("const char *[1]")
  check(lib.fsam_tuning_text(device, text))
  return ffi.string(text[0])
end

-- The first `count` lines in a few letters, and how many there are. The first line says for what
-- the others were made.
local function digest(text, count)
  local hash, lines = fingerprint.EMPTY, 0
  for line in text:gmatch("[^\n]+") do
    if lines == count then
      break
    end
    lines, hash = lines + 1, fingerprint.add_text(hash, line)
  end
  return ("%d lines, %s"):format(lines, fingerprint.show(hash))
end

--- What a checkpoint remembers of the choices so far: later ones are added behind them.
-- @treturn ?string nil where nothing is tuned
function M.digest(device)
  local text = text_of(device)
  return text ~= "" and digest(text) or nil
end

--- A sentence for a run that goes on with other choices than its checkpoint had; else nil.
-- @tparam cdata device
-- @tparam ?string before what M.digest gave then
function M.remark(device, before)
  local text = text_of(device)
  local count = before and tonumber(before:match("^%d+"))
  if text == "" and not before or before and digest(text, count) == before then
    return nil
  end
  local how = not before and "are chosen by timing now, and were not"
    or text == "" and "were chosen by timing (tuning.json), and are not now"
    or "were chosen by timing, and the choices that stand in tuning.json are not the same"
  return ("the algorithms of products and attention %s; the run continues, but not bit for bit")
    :format(how)
end

local function path_of(loop)
  return loop.run.folder and loop.run:path("tuning.json")
end

--- Begins a run. With --tune, or where the run folder has choices already, the library keeps these
-- and times new products.
-- @tparam table loop options, run, model
function M.begin(loop)
  local path = path_of(loop)
  local known = path and file.kind(path) == "file" and M.decode(file.read(path)) or nil
  if not (loop.options.tune or known) then
    return
  end
  check(lib.fsam_tuning_begin(loop.model.device, known))
  loop.tuning = known
  local made_for, here = (known or ""):match("[^\n]*"), text_of(loop.model.device):match("[^\n]*")
  if known and here ~= "" and made_for ~= here then
    loop.tuning = nil
    loop.report:warn(("tuning.json was made for %s, here is %s: its choices are made anew, and "
      .. "bits differ from there on"):format(made_for, here))
  end
end

-- What follows a key, by the key, in a text of the library's.
local function choices(text)
  local all = {}
  for key, choice in text:gmatch("([^\n]-) = ([^\n]*)") do
    all[key] = choice
  end
  return all
end

-- Says which of the choices that were there had to be made anew, because their library is another
-- one now, or gone.
local function tell_changes(loop, now)
  local before, changed = choices(loop.tuning or ""), {}
  for key, choice in pairs(choices(now)) do
    if before[key] and before[key] ~= choice then
      changed[#changed + 1] = ("%s: %s, before %s"):format(key, choice, before[key])
    end
  end
  table.sort(changed)
  if #changed > 0 then
    loop.report:warn(("tuning.json: %d of its choices do not hold here and were made anew (%s%s); "
      .. "bits differ from there on"):format(#changed, changed[1], changed[2] and "; …" or ""))
  end
end

--- Writes the choices so far; on the CPU there are none.
function M.keep(loop)
  local path = path_of(loop)
  local now = path and loop.model.device and text_of(loop.model.device) or ""
  if now ~= "" and now ~= loop.tuning then
    tell_changes(loop, now)
    file.replace(path, M.encode(now))
    loop.tuning = now
  end
end

return M

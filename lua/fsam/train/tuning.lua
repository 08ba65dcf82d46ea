--- Which algorithms a GPU's matrix products use. With --tune the library chooses them by timing;
-- the run folder keeps the choices (tuning.json), so that a continued run uses the same. Without
-- --tune the library's choice depends on a product's shape alone. Owns: the file. Leaves to others:
-- the choosing (kernels/vendor).
local C = require("fsam.C")
local file = require("fsam.base.file")
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

local function path_of(loop)
  return loop.run.folder and loop.run:path("tuning.json")
end

--- Begins a run. With --tune, or where the run folder has choices already, the library keeps these
-- and times new products.
-- @tparam table loop options, run, model
function M.begin(loop)
  local path = path_of(loop)
  local known = path and file.kind(path) == "file" and M.decode(file.read(path)) or nil
  if loop.options.tune or known then
    check(lib.fsam_tuning_begin(loop.model.device, known))
  end
end

--- Writes the choices so far; on the CPU there are none.
function M.keep(loop)
  local path, text = path_of(loop), ffi.new("const char *[1]")
  if not path or not loop.model.device then
    return
  end
  check(lib.fsam_tuning_text(loop.model.device, text))
  local now = ffi.string(text[0])
  if now ~= "" and now ~= loop.tuning then
    file.replace(path, M.encode(now))
    loop.tuning = now
  end
end

return M

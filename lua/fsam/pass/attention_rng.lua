--- Who draws attention's dropout: "own", our kernels, by the rule of all dropout; or "cudnn",
-- cuDNN, whose attention draws bits of its own. Owns: the names, and whether a device
-- can. Leaves to others: what is drawn by what (kernels/vendor/cudnn_attention.cu).
local C = require("fsam.C")
local errors = require("fsam.errors")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = { NAMES = { "own", "cudnn" } }

local NUMBERS = { own = lib.FSAM_RNG_OWN, cudnn = lib.FSAM_RNG_CUDNN }
local TYPES = { f32 = lib.FSAM_F32, bf16 = lib.FSAM_BF16 }

--- The number that kernels know a name by, if a device can draw so.
-- @tparam cdata device
-- @tparam ?string name default: "own"
-- @tparam string dtype of the activations, "f32" or "bf16"
-- @tparam[opt=64] integer columns of a head
-- @treturn integer
-- @raise one line that names the flag and what is missing
function M.number(device, name, dtype, columns)
  local number = NUMBERS[name or "own"]
  local ok, why = pcall(function()
    check(lib.fsam_attention_rng_check(device, number, TYPES[dtype], columns or 64))
  end)
  if not ok then
    errors.raise("--attention-dropout-rng %s: %s", name, (tostring(why):gsub("^attention: ", "")))
  end
  return number
end

--- Whose attention it is, with the version of a library: "own" or "cuDNN 9.19.0".
-- @tparam cdata device
-- @tparam ?string name default: "own"
function M.library(device, name)
  local text = ffi.new("const char *[1]")
  check(lib.fsam_attention_library(device, NUMBERS[name or "own"], text))
  return ffi.string(text[0])
end

--- A line for a run whose dropout is cuDNN's; nil for others.
-- @tparam cdata device
-- @tparam table options attention_dropout, attention_dropout_rng
function M.remark(device, options)
  local name = options.attention_dropout_rng
  if (name or "own") == "own" or options.attention_dropout == 0 then
    return nil
  end
  return ("%s draws attention's dropout (--attention-dropout-rng %s): a sample's bits depend on "
    .. "its place in the batch, and another version may draw others")
    :format(M.library(device, name), name)
end

return M

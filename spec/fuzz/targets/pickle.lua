--- A pickle alone: what is built of it, seen through every reader of values.
local ffi = require("ffi")
local globals = require("fsam.formats.pytorch.globals")
local legacy = require("fsam.formats.pytorch.legacy")
local objects = require("fsam.formats.pytorch.objects")
local pickle = require("fsam.formats.pytorch.pickle")
local storage = require("fsam.formats.pytorch.storage")

local STORAGE = "(U\7storagectorch\nFloatStorage\nU\0010U\3cpuK\4tQ"
local SEEDS = {
  "\128\2}q\0(X\1\0\0\0aK\1X\1\0\0\0b]q\1(K\2M\3\0J\4\0\0\0G?\240\0\0\0\0\0\0Nh\1eu.",
  "\128\2ctorch._utils\n_rebuild_tensor_v2\n((" .. STORAGE:sub(2) .. "K\0K\2K\2\134K\2K\1\134\137"
    .. "ccollections\nOrderedDict\n)RtR.",
  "\128\4\149\22\0\0\0\0\0\0\0}\148(\140\1a\148\140\1b\148\140\1c\148]\148u.",
  "(dp0\nS'a'\np1\nI01\nsVb\nF1.5\nsS'c'\n(lp2\nL12L\nas.",
  "\128\2cargparse\nNamespace\n)\129}(X\2\0\0\0lr]G>\228\248\181\136\227h\241aX\1\0\0\0n"
    .. "\138\9\0\0\0\0\0\0\0\0\1ub.",
  "\128\2cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\2\0\0\0f8\137\136tRK\3tbc_codecs\n"
    .. "encode\nX\8\0\0\0\0\0\0\0\0\0\0@X\6\0\0\0latin1\134RtR.",
  legacy.MAGIC,
}

-- Looks at a value and what is in it, as far as `left` reaches, which ends cycles too; and at no
-- more than budget.left values, because a list may hold itself a thousand times.
local function walk(value, left, budget)
  budget.left = budget.left - 1
  if budget.left < 0 then
    return
  end
  assert(type(objects.kind(value)) == "string" and type(objects.show(value)) == "string")
  objects.field(value, "a")
  if type(value) == "table" and left > 0 then
    for _, inner in ipairs(value) do
      walk(inner, left - 1, budget)
    end
    for _, key in ipairs(value.keys or {}) do
      walk(value.map[key], left - 1, budget)
    end
  end
end

return {
  parts = { { name = "pickle", kind = "bytes" } },
  files = false,
  words = { STORAGE, "ctorch._utils\n_rebuild_tensor_v2\n", "ctorch._utils\n_rebuild_parameter\n",
    "ctorch._tensor\n_rebuild_from_type_v2\n", "ccollections\nOrderedDict\n", "cbuiltins\nset\n",
    "cposix\nsystem\n", "ctorch\nSize\n", "R", "b", "u", "e", "(", "t", "\133", "\134", "\135", "]",
    "}", ")", "q\0", "h\0", "N", "\136", "\137", "K\255", "M\255\255", "\138\8", "\138\255",
    "J\255\255\255\255", "\139\255\255\255\127", "X\255\255\255\127", "X\255\255\255\255",
    "\129", "\145", "\147", "\148", "Q", "P0\n", "." },
  seeds = function()
    local list = {}
    for i, text in ipairs(SEEDS) do
      list[i] = { pickle = text }
    end
    return list
  end,
  run = function(bundle)
    local text = bundle.pickle or ""
    local bytes = ffi.new("uint8_t[?]", #text + 1)
    ffi.copy(bytes, text, #text)
    local value, at = pickle.read({ path = "p", data = bytes, at = 0, limit = #text,
      globals = globals, persistent = storage.reader({}) })
    assert(at > 0 and at <= #text, "it ends outside its bytes")
    walk(value, 3, { left = 20000 })
  end,
}

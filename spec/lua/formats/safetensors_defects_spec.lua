--- safetensors: the one line that each defect of a file gets, naming file and tensor.
local C = require("fsam.C")
local helper = require("spec.helper")
local safetensors = require("fsam.formats.safetensors")
local ffi = C.ffi

describe("a defective safetensors file", function()
  local folder, path

  before_each(function()
    folder = helper.temp_dir()
    path = folder .. "/model.safetensors"
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function length(n)
    return ffi.string(ffi.new("uint64_t[1]", n), 8)
  end

  local function message_of(f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.is_nil(tostring(err):find("\n"))
    return tostring(err)
  end

  -- The message when a file of this header and this many bytes of data is opened, without the path.
  local function defect(json, bytes)
    helper.write_file(path, length(#json) .. json .. ("\0"):rep(bytes or 8))
    local message = message_of(safetensors.open, path)
    assert.equal(path, message:sub(1, #path))
    return message:sub(#path + 1)
  end

  local function tensor(dtype, shape, first, last)
    return ('{"dtype":"%s","shape":%s,"data_offsets":[%s,%s]}'):format(dtype, shape, first, last)
  end

  it("is refused when its header is truncated, oversized or not JSON", function()
    helper.write_file(path, "\1\2\3")
    assert.equal(path .. " has 3 bytes: too short for a safetensors file",
      message_of(safetensors.open, path))
    helper.write_file(path, length(100) .. '{"a":')
    assert.equal(path .. ": the header has 100 bytes, the file only 5 more: it is truncated",
      message_of(safetensors.open, path))
    helper.write_file(path, length(100000001) .. "{}")
    assert.truthy(message_of(safetensors.open, path)
      :find("length is 100000001, more than", 1, true))
    helper.write_file(path, ("\255"):rep(8) .. "{}")
    assert.truthy(message_of(safetensors.open, path)
      :find("length is 18446744073709551615, more than 100000000", 1, true))
    assert.equal(": the header is not a JSON object: not a safetensors file", defect("[1,2]"))
    assert.equal(": the header is not a JSON object: not a safetensors file", defect(""))
    assert.truthy(defect('{"a":{"dtype":"F32",'):find("^: header: line 1, column 21: "))
    assert.truthy(defect('{"a":' .. ("["):rep(100000)):find("nested deeper than", 1, true))
  end)

  it("is refused when the tensors leave holes, overlap, or end elsewhere", function()
    local f = tensor("F32", "[1]", 0, 4)
    assert.equal(": tensor b: begins at byte 8, but the data before it ends at 4: a hole",
      defect('{"a":' .. f .. ',"b":' .. tensor("F32", "[1]", 8, 12) .. "}", 12))
    assert.equal(": tensor a: begins at byte 4, but the data before it ends at 0: a hole",
      defect('{"a":' .. tensor("F32", "[1]", 4, 8) .. "}"))
    assert.equal(": tensor b: begins at byte 2, inside tensor a: they overlap",
      defect('{"a":' .. f .. ',"b":' .. tensor("F32", "[1]", 2, 6) .. "}", 6))
    assert.equal(": tensor b: begins at byte 0, inside tensor a: they overlap",
      defect('{"b":' .. f .. ',"a":' .. f .. "}", 4))
    assert.equal(": its tensors end at byte 4 of the data, which has 5",
      defect('{"a":' .. f .. "}", 5))
    assert.equal(": its tensors end at byte 0 of the data, which has 5", defect("{}", 5))
    assert.equal(": tensor a: ends at byte 4 of the data, which has 3: the file is truncated",
      defect('{"a":' .. f .. "}", 3))
  end)

  it("is refused when a tensor's type, shape or offsets are none", function()
    local function of(entry)
      return (defect('{"a":' .. entry .. "}"):gsub("^: tensor a: ", ""))
    end
    assert.equal("its entry is 1, expected an object", of("1"))
    assert.equal("its entry is null, expected an object", of("null"))
    assert.equal("dtype is 33, expected F32, BF16 or another of the format's types",
      of('{"dtype":33,"shape":[2],"data_offsets":[0,8]}'))
    assert.truthy(of('{"shape":[2],"data_offsets":[0,8]}'):find("dtype is missing", 1, true))
    assert.equal("shape is missing, expected an array", of('{"dtype":"F32"}'))
    local no_shape = "shape does not consist of sizes whose product is at most 2^53"
    for _, shape in ipairs({ "[-2]", "[1.5]", '["2"]', "[null]", "[1e999]", "[9007199254740994]",
      "[4294967296,4294967296]", "[3037000500,3037000500,0]", "[[2]]" }) do
      assert.equal(no_shape, of(tensor("F32", shape, 0, 8)))
    end
    assert.equal("F32 [2, 2] needs 16 bytes, data_offsets span 8",
      of(tensor("F32", "[2,2]", 0, 8)))
    assert.equal("F64 [9007199254740992] needs 72057594037927936 bytes, data_offsets span 8",
      of(tensor("F64", "[9007199254740992]", 0, 8)))
    local no_offsets = "data_offsets must be two integers, begin and end"
    for _, pair in ipairs({ { -8, 0 }, { 8, 0 }, { 0.5, 8.5 }, { '"0"', 8 }, { 0, "null" },
      { 0, "8,9" }, { 0, "1e300" } }) do
      assert.equal(no_offsets, of(tensor("F32", "[2]", pair[1], pair[2])))
    end
  end)

  it("is refused when its metadata are not texts", function()
    assert.equal(": __metadata__ is 3, expected an object", defect('{"__metadata__":3}', 0))
    assert.equal(": __metadata__.a is an array, expected a string",
      defect('{"__metadata__":{"a":[]}}', 0))
    assert.equal(": __metadata__ is null, expected an object", defect('{"__metadata__":null}', 0))
  end)

  it("cannot put control characters into the message", function()
    assert.truthy(defect('{"a\\u001b[31m\\n":1}'):find("tensor a?[31m?: its entry", 1, true))
  end)
end)

--- Files with named columns: what is read from each format, and the one line that each malformed
-- file gets, wherever it is cut.
local errors = require("fsam.errors")
local helper = require("spec.helper")
local tables = require("fsam.data.tables")

local folder

local function read(name, text, wanted)
  return tables.read(helper.write_file(folder .. "/" .. name, text), wanted or { "text", "label" })
end

local function message_of(...)
  local ok, err = pcall(read, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  local text = tostring(err)
  assert.is_nil(text:find("[%c]"), text)
  return (text:gsub(folder:gsub("%p", "%%%0") .. "/", ""))
end

setup(function()
  folder = helper.memory_dir()
end)

teardown(function()
  helper.remove_dir(folder)
end)

local WELL = {
  { "a.csv", "text,label\na cat,yes\n\"a, \"\"b\"\"\",no\n",
    { { "a cat", "yes", line = 2 }, { 'a, "b"', "no", line = 3 } } },
  { "a.csv", "\239\187\191label,id,text\r\nyes,1,\"two\r\nlines\"\r\n\r\nno,2,\r\nno,3,x",
    { { "two\r\nlines", "yes", line = 2 }, { "", "no", line = 5 }, { "x", "no", line = 6 } } },
  { "a.CSV", "text,label\rmac,1\r5\" tall,2\r",
    { { "mac", "1", line = 2 }, { '5" tall', "2", line = 3 } } },
  -- What spreadsheets write where a comma is the decimal point.
  { "a.csv", 'id;text;label\n1;a, b;0,5\n2;"c; ""d""";1\n',
    { { "a, b", "0,5", line = 2 }, { 'c; "d"', "1", line = 3 } } },
  { "a.csv", '"text";"label"\r\n"a, b";"yes"\r\n', { { "a, b", "yes", line = 2 } } },
  { "a.csv", "text\tlabel\na, b; c\tyes\n", { { "a, b; c", "yes", line = 2 } } },
  { "a.csv", '"text","label; 0 or 1",label\na;b,x,y\n', { { "a;b", "y", line = 2 } } },
  { "a.csv", "sep=;\ntext;label\na, b;yes\n", { { "a, b", "yes", line = 3 } } },
  { "a.csv", "\239\187\191SEP=|\r\ntext|label\r\na;b, c|yes", { { "a;b, c", "yes", line = 3 } } },
  { "a.csv", '"sep=^"\ntext^label\n"a^b"^yes\n', { { "a^b", "yes", line = 3 } } },
  { "a.csv", "text,sep=;\nlabel,a\n", { { "label", "a", line = 2 } }, { "text", "sep=;" } },
  { "a.csv", 'text,label\n"",""\n",",b\n', { { "", "", line = 2 }, { ",", "b", line = 3 } } },
  { "a.tsv", "text\tlabel\n\"a\tyes\n\nb, c\tno",
    { { '"a', "yes", line = 2 }, { "b, c", "no", line = 4 } } },
  { "a.jsonl", '{"text": "a", "label": 1, "more": null}\n\n{"label": ["x", true], "text": "b"}\n'
    .. '{"text": "c", "label": null}',
    { { "a", 1, line = 1 }, { "b", { "x", true }, line = 3 }, { "c", line = 4 } } },
  { "a.ft", "\239\187\191__label__yes a cat\r\n\n  __label__no\t b  \n__label__no",
    { { "a cat", "yes", line = 1 }, { "b", "no", line = 3 }, { "", "no", line = 4 } } },
  { "a.fasttext", "__label__x __label__y a __label__z\nb\n__label__ c\n",
    { { "a __label__z", { "x", "y" }, line = 1 }, { "b", {}, line = 2 },
      { "__label__ c", {}, line = 3 } } },
  { "a.ndjson", '\239\187\191{"text": "\\u00e9\\n", "label": false}\r\n',
    { { "\195\169\n", false, line = 1 } } },
}

local ILL = {
  { "a.csv", "", "a.csv is empty; its first line has the names of the columns" },
  { "a.tsv", "", "a.tsv is empty; its first line has the names of the columns" },
  { "a.jsonl", "\n \n", "a.jsonl has no samples" },
  { "a.csv", "text,label\n", "a.csv has no samples" },
  { "a.csv", "txt,label\na,b\n", "a.csv has no column text; did you mean txt? (its columns: txt, "
    .. "label)" },
  { "a.tsv", "a\tlabel\nx\ty\n", "a.tsv has no column text (its columns: a, label)" },
  { "a.jsonl", '{"txt": "a", "label": 1}\n', "a.jsonl has no column text; did you mean txt? (its "
    .. "columns: label, txt)" },
  { "a.csv", "text,text,label\n", "a.csv, line 1: two columns are called text; rename one of "
    .. "them" },
  { "a.csv", "text|label\na|b\n", "a.csv: its only column is text|label; columns are separated by "
    .. "commas, semicolons or tabs here, not by |" },
  { "a.csv", "txt;label\na;b\n", "a.csv has no column text; did you mean txt? (its columns: txt, "
    .. "label)" },
  { "a.csv", "text;label\na;b\nc;d;e\n", "a.csv, line 3: got 3 columns, expected 2 (text, "
    .. "label); a text with a semicolon stands in quotes" },
  { "a.csv", "text,label,;text;label;\n", "a.csv, line 1: the columns can be read with a comma "
    .. "between them and with a semicolon; put names that hold one in quotes" },
  { "a.csv", "sep=,\ntext;label\na;b\n", "a.csv has no column text (its columns: text;label)" },
  { "a.csv", "sep=;\ntext;label\na\n", "a.csv, line 3: got 1 column, expected 2 (text, label); a "
    .. "text with a ; stands in quotes" },
  { "a.csv", '"text;label\na;b\n', "a.csv, line 1: the quote that opens column 1 is never closed; "
    .. "close it, or double it if it is part of the text" },
  { "a.csv", "text,label\na,b\nc, d,e\n", "a.csv, line 3: got 3 columns, expected 2 (text, "
    .. "label); a text with a comma stands in quotes" },
  { "a.csv", "text,label\n\n\"a\nb\",c\n\"d,e\n", "a.csv, line 5: the quote that opens column 1 "
    .. "is never closed; close it, or double it if it is part of the text" },
  { "a.csv", "text,label\na,\"b\" c\n", "a.csv, line 2: text follows the closing quote of column "
    .. "2; a quote inside quotes is written twice" },
  { "a.csv", "text,label\na,caf\233\n", "a.csv, line 2: byte 0xE9 is not UTF-8; if the file is "
    .. "ISO-8859-1, convert it (iconv -f ISO-8859-1 -t UTF-8)" },
  { "a.jsonl", "\255\254{\0", "a.jsonl is UTF-16, expected UTF-8; convert it (iconv -f UTF-16 -t "
    .. "UTF-8)" },
  { "a.tsv", "text\tlabel\na\tb\tc\n", "a.tsv, line 2: got 3 tab-separated columns, expected 2" },
  { "a.jsonl", '[{"text": "a"}]', "a.jsonl is one JSON list; put each of its objects on a line (jq "
    .. "-c '.[]')" },
  { "a.jsonl", '{"text": "a", "label": 1}\n"b"\n', 'a.jsonl, line 2: got "b", expected an object, '
    .. 'such as {"text": "…", "label": "…"}' },
  { "a.txt", "text", "a.txt: the end of its name says no format; give it one that does (what is "
    .. "read: .csv, .ft, .fasttext, .jsonl, .ndjson, .json, .tsv)" },
  { "a.xlsx", "PK", "a.xlsx is a spreadsheet; export it as CSV (what is read: .csv, .ft, "
    .. ".fasttext, .jsonl, .ndjson, .json, .tsv)" },
  { "a.csv.GZ", "", "a.csv.GZ is gzip-compressed; unpack it (gunzip) (what is read: .csv, .ft, "
    .. ".fasttext, .jsonl, .ndjson, .json, .tsv)" },
  { "a.csv", "\31\139\8\0", "a.csv is gzip-compressed; unpack it (gunzip)" },
  { "a.tsv", "PK\3\4\20\0", "a.tsv is a zip file; unpack it (unzip); a spreadsheet is exported as "
    .. "CSV, and PyTorch's weights are called pytorch_model.bin" },
  { "a.jsonl", "PAR1\21\4\21", "a.jsonl is a Parquet file; write the table as CSV or JSON lines" },
  { "a.csv", "\255\254\0\0t\0\0\0", "a.csv is UTF-32, expected UTF-8; convert it (iconv -f "
    .. "UTF-32 -t UTF-8)" },
  { "a.csv", "t\0e\0x\0t\0", "a.csv is UTF-16, expected UTF-8; convert it (iconv -f UTF-16LE -t "
    .. "UTF-8)" },
  { "a.tsv", "\0t\0e\0x\0t", "a.tsv is UTF-16, expected UTF-8; convert it (iconv -f UTF-16BE -t "
    .. "UTF-8)" },
  { "a.ft", "__label__a b\n", "a.ft has no column txt; did you mean text? (its columns: text, "
    .. "label)", { "txt", "label" } },
  { "a.ft", "\n \n", "a.ft has no samples" },
}

describe("a file with named columns", function()
  for i, case in ipairs(WELL) do
    it(("is read, %d (%s)"):format(i, case[1]), function()
      assert.same(case[3], read(case[1], case[2], case[4]))
    end)
  end

  for i, case in ipairs(ILL) do
    it(("is refused in one line, %d (%s)"):format(i, case[1]), function()
      assert.equal(case[3], message_of(case[1], case[2], case[4]))
    end)
  end

  it("gives whole rows, or one line, wherever it is cut", function()
    for name, text in pairs({
      ["a.csv"] = "\239\187\191text,label\r\n\"a, \"\"b\"\"\r\n\195\169\",yes\r\nc,no\r\n",
      ["b.csv"] = "sep=;\ntext;label\na;yes\nb;no\n",
      ["a.jsonl"] = '{"text": "a\\n\\u00e9", "label": ["x", 1.5e3]}\n{"text": "\195\169"}\n',
      ["a.tsv"] = "text\tlabel\n\195\169\tyes\nc\tno\n",
    }) do
      local whole = read(name, text)
      for length = 0, #text - 1 do
        local ok, rows = pcall(read, name, text:sub(1, length))
        if ok then
          for k = 1, #rows - 1 do -- the last one may be shorter
            assert.same(whole[k], rows[k])
          end
        else
          message_of(name, text:sub(1, length))
        end
      end
    end
  end)

  it("of fastText has its labels in lists once a line has none, as where it is cut", function()
    local text = "__label__x \195\169 a\n__label__y b\n"
    for length = 1, #text do
      local ok, rows = pcall(read, "a.ft", text:sub(1, length))
      if ok and rows[2] then
        assert.equal("\195\169 a", rows[1][1])
        assert.same(type(rows[2][2]) == "table" and { "x" } or "x", rows[1][2])
      elseif not ok then
        message_of("a.ft", text:sub(1, length))
      end
    end
    assert.same({ { "\195\169 a", "x", line = 1 }, { "b", "y", line = 2 } }, read("a.ft", text))
  end)

  it("may have absurd lines", function()
    local long = ("x"):rep(2 ^ 19)
    assert.equal(long, read("a.csv", "text,label\n" .. long .. ",a\n")[1][1])
    assert.equal(long, read("a.jsonl", ('{"text": "%s", "label": 1}'):format(long))[1][1])
    assert.equal(2 ^ 14, #read("a.csv", "text,label\n" .. ('"""",\n'):rep(2 ^ 14)))
    assert.matches("^a.csv, line 2: got 65537 columns, expected 2 %(text, label%)",
      message_of("a.csv", "text,label\n" .. (","):rep(2 ^ 16)))
    assert.matches("^a.csv, line 2: the quote that opens column 1 is never closed",
      message_of("a.csv", "text,label\n" .. ('"'):rep(2 ^ 16 + 1)))
    assert.matches("^a.jsonl, line 1: line 1, column 208: nested deeper than 200 levels",
      message_of("a.jsonl", '{"text":' .. ("["):rep(1000)))
  end)
end)

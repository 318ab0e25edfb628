// As much of a document as React needs to mount a component in Node, and no more.

class FakeNode extends EventTarget {
  readonly nodeType: number;
  readonly nodeName: string;
  readonly namespaceURI = 'http://www.w3.org/1999/xhtml';
  readonly ownerDocument: FakeDocument | null;
  readonly attributes = new Map<string, string>();
  readonly style = {};
  readonly childNodes: FakeNode[] = [];
  nodeValue = '';
  parentNode: FakeNode | null = null;

  constructor(nodeType: number, nodeName: string, ownerDocument: FakeDocument | null) {
    super();
    this.nodeType = nodeType;
    this.nodeName = nodeName;
    this.ownerDocument = ownerDocument;
  }

  get tagName(): string {
    return this.nodeName;
  }

  get firstChild(): FakeNode | null {
    return this.childNodes[0] ?? null;
  }

  get textContent(): string {
    return this.nodeValue + this.childNodes.map((node) => node.textContent).join('');
  }

  set textContent(text: string) {
    this.childNodes.length = 0;
    this.nodeValue = text;
  }

  appendChild(node: FakeNode): FakeNode {
    return this.insertBefore(node, null);
  }

  insertBefore(node: FakeNode, before: FakeNode | null): FakeNode {
    node.parentNode?.removeChild(node);
    const at = before === null ? this.childNodes.length : this.childNodes.indexOf(before);
    this.childNodes.splice(at, 0, node);
    node.parentNode = this;
    return node;
  }

  removeChild(node: FakeNode): FakeNode {
    this.childNodes.splice(this.childNodes.indexOf(node), 1);
    node.parentNode = null;
    return node;
  }

  setAttribute(name: string, value: unknown): void {
    this.attributes.set(name, String(value));
  }

  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }
}

class FakeDocument extends FakeNode {
  readonly hidden = false;
  readonly activeElement = null;

  constructor() {
    super(9, '#document', null);
  }

  createElement(name: string): FakeNode {
    return new FakeNode(1, name.toUpperCase(), this);
  }

  createTextNode(text: string): FakeNode {
    const node = new FakeNode(3, '#text', this);
    node.nodeValue = text;
    return node;
  }
}

/** What to make global before `react-dom/client` is loaded. */
export function fakeGlobals() {
  const document = new FakeDocument();
  return { document, window: { document, event: undefined, HTMLIFrameElement: FakeDocument } };
}

export type { FakeDocument, FakeNode };
